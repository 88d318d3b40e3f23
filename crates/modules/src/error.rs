//! What can be wrong with modules, and what can fail when they begin.

use std::{error::Error as StdError, fmt, time::Duration};

use crate::Key;

/// An error of any kind, as constructors and hooks return it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Who asked for something.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Asker {
    /// The provider, as messages call it: `` `ContentWriter` `` or `` workflow `ContentWriter` ``.
    pub provider: String,
    /// The field or parameter that takes it; `None` where the provider is about nothing else.
    pub field: Option<String>,
    /// The module that provides it.
    pub module: String,
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) if field.starts_with("parameter ") => write!(f, "{field} of ")?,
            Some(field) => write!(f, "field `{field}` of ")?,
            None => {}
        }
        write!(f, "{} in module `{}`", self.provider, self.module)
    }
}

/// What is wrong with the modules of a program, or failed when they began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody provides what is needed.
    #[error("{asker} needs {key}, which no module provides; {fix}")]
    MissingProvider {
        /// Who needs it.
        asker: Box<Asker>,
        /// What it needs.
        key: Key,
        /// What to do.
        fix: String,
    },
    /// What is needed is provided where whoever needs it does not see it.
    #[error("{asker} needs {key}, which {place}; {fix}")]
    HiddenProvider {
        /// Who needs it.
        asker: Box<Asker>,
        /// What it needs.
        key: Key,
        /// Which module has it, and why it is not seen.
        place: String,
        /// What to do.
        fix: String,
    },
    /// Two imported modules export what is needed.
    #[error(
        "{asker} needs {key}, which modules {modules} all export; export it from one of them, or give them names and say which by \
         `#[inject(name = \"…\")]`"
    )]
    AmbiguousProvider {
        /// Who needs it.
        asker: Box<Asker>,
        /// What it needs.
        key: Key,
        /// The modules that provide it.
        modules: String,
    },
    /// A provider needs itself.
    #[error(
        "providers need each other in a circle: {path}; move what they share into a provider that needs neither, or let \
         one get it by a method"
    )]
    ProviderCycle {
        /// The circle, with the fields that close it.
        path: String,
    },
    /// A module imports itself.
    #[error(
        "modules import each other in a circle: {path}; move what they share into a module that both import"
    )]
    ModuleCycle {
        /// The circle.
        path: String,
    },
    /// A module is given options by two importers.
    #[error(
        "module `{module}` is given options by `{second}` and was defined by `{first}` already; give them once, and import \
         `{module}` without options elsewhere"
    )]
    ModuleTwice {
        /// The module.
        module: String,
        /// Who imported it first.
        first: String,
        /// Who imported it with options of its own.
        second: String,
    },
    /// A module provides the same twice.
    #[error("module `{module}` provides {key} twice; keep one of them, or tell them apart by names")]
    DuplicateProvider {
        /// The module.
        module: String,
        /// What it provides twice.
        key: Key,
    },
    /// A module exports what it does not have.
    #[error("module `{module}` exports {key}, which it neither provides nor imports; {fix}")]
    UnknownExport {
        /// The module.
        module: String,
        /// What it exports.
        key: Key,
        /// What to do.
        fix: String,
    },
    /// A module exports a module that it does not import.
    #[error(
        "module `{module}` exports module `{export}`, which it does not import; add it to the `imports(…)` of `{module}`"
    )]
    ModuleNotImported {
        /// The module.
        module: String,
        /// The module that it exports.
        export: String,
    },
    /// What lives long needs what lives as long as an execution.
    #[error(
        "{asker} needs {key}, of which each execution has its own, and {} lives as long as the application; give it \
         `scope = \"execution\"` too, or let it take a `Scoped` of that",
        asker.provider
    )]
    ShorterLife {
        /// Who needs it.
        asker: Box<Asker>,
        /// What it needs.
        key: Key,
    },
    /// A value that is there already is to be made for each execution.
    #[error(
        "value {key} in module `{module}` is there already and cannot be made for each execution; make it by a factory, or \
         leave its scope out"
    )]
    ValuePerExecution {
        /// The value.
        key: Key,
        /// The module that provides it.
        module: String,
    },
    /// An override replaces nothing.
    #[error("override of {key} replaces nothing: no module provides that; {fix}")]
    UnusedOverride {
        /// What it would replace.
        key: Key,
        /// What to do.
        fix: String,
    },
    /// More than one thing is wrong.
    #[error("{} things are wrong with the modules:{}", errors.len(), list(errors))]
    Several {
        /// Each of them.
        errors: Vec<Error>,
    },
    /// A provider could not make its value.
    #[error("{provider} in module `{module}` could not be made: {source}")]
    ProviderFailed {
        /// The provider, as messages call it.
        provider: String,
        /// The module that provides it.
        module: String,
        /// Why.
        source: BoxError,
    },
    /// A provider or its hook panicked.
    #[error("{provider} in module `{module}` panicked when it {when}: {panic}")]
    ProviderPanicked {
        /// The provider, as messages call it.
        provider: String,
        /// The module that provides it.
        module: String,
        /// What it did: `was made`, `began`, `ended`.
        when: &'static str,
        /// What the panic said.
        panic: String,
    },
    /// A hook failed.
    #[error("{provider} in module `{module}` failed when it {when}: {source}")]
    HookFailed {
        /// The provider, as messages call it.
        provider: String,
        /// The module that provides it.
        module: String,
        /// What it did: `began` or `ended`.
        when: &'static str,
        /// Why.
        source: BoxError,
    },
    /// A hook took too long.
    #[error(
        "{provider} in module `{module}` took longer than {limit:?} when it {when}; raise `ContainerOptions::hook_timeout`"
    )]
    HookTimeout {
        /// The provider, as messages call it.
        provider: String,
        /// The module that provides it.
        module: String,
        /// What it did: `began` or `ended`.
        when: &'static str,
        /// The longest that a hook may take.
        limit: Duration,
    },
    /// The program asked for what no module provides.
    #[error("no module provides {key}; {fix}")]
    NotProvided {
        /// What was asked for.
        key: Key,
        /// What to do.
        fix: String,
    },
    /// The program asked for what each execution has its own of.
    #[error("each execution has its own {key}; open it by a `Scoped` of it")]
    PerExecution {
        /// What was asked for.
        key: Key,
    },
    /// A provider takes a field that it does not declare as that.
    #[error("{provider} takes field `{field}` as {key} and does not declare it so; add it by `needs`")]
    NeedNotDeclared {
        /// The provider, as messages call it.
        provider: String,
        /// The field.
        field: String,
        /// What it was taken as.
        key: Key,
    },
    /// Something was asked for before it was made.
    #[error("{key} is not made yet; ask for it in an init hook or later")]
    NotReady {
        /// What was asked for.
        key: Key,
    },
    /// The application has ended.
    #[error("{key} is gone: the application has ended")]
    Ended {
        /// What was asked for.
        key: Key,
    },
}

fn list(errors: &[Error]) -> String {
    errors.iter().map(|error| format!("\n- {error}")).collect()
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`; of several errors that of the first.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingProvider { .. } => "missing_provider",
            Self::HiddenProvider { .. } => "hidden_provider",
            Self::AmbiguousProvider { .. } => "ambiguous_provider",
            Self::ProviderCycle { .. } => "provider_cycle",
            Self::ModuleCycle { .. } => "module_cycle",
            Self::ModuleTwice { .. } => "module_twice",
            Self::DuplicateProvider { .. } => "duplicate_provider",
            Self::UnknownExport { .. } => "unknown_export",
            Self::ModuleNotImported { .. } => "module_not_imported",
            Self::ShorterLife { .. } => "shorter_life",
            Self::ValuePerExecution { .. } => "value_per_execution",
            Self::UnusedOverride { .. } => "unused_override",
            Self::Several { errors } => errors.first().map_or("missing_provider", Self::code),
            Self::ProviderFailed { .. } => "provider_failed",
            Self::ProviderPanicked { .. } => "provider_panicked",
            Self::HookFailed { .. } => "hook_failed",
            Self::HookTimeout { .. } => "hook_timeout",
            Self::NotProvided { .. } => "not_provided",
            Self::PerExecution { .. } => "per_execution",
            Self::NeedNotDeclared { .. } => "need_not_declared",
            Self::NotReady { .. } => "provider_not_ready",
            Self::Ended { .. } => "application_ended",
        }
    }

    /// Whether the same call may succeed later: what could not be made or began too slowly may.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::ProviderFailed { .. }
                | Self::HookFailed { .. }
                | Self::HookTimeout { .. }
                | Self::NotReady { .. }
        )
    }

    /// One error, or several as one; `Ok` if there is none.
    pub(crate) fn gather(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => errors.pop().map_or(Ok(()), Err),
            _ => Err(Self::Several { errors }),
        }
    }
}

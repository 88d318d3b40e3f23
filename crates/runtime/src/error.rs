//! What can be wrong with a workflow, and what can go wrong in a node.

use std::{error::Error as StdError, fmt};

/// A workflow that cannot be built. Found when the application is built, before anything runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A workflow or node has a name that is none.
    #[error("{0}")]
    Name(#[source] streamnest_core::Error),
    /// Two workflows have one name.
    #[error("there are two workflows `{workflow}`; give one of them another name")]
    DuplicateWorkflow {
        /// The name.
        workflow: String,
    },
    /// Two nodes have one name.
    #[error("workflow `{workflow}` has two nodes `{node}`; give one of them another name")]
    DuplicateNode {
        /// The workflow.
        workflow: String,
        /// The name.
        node: String,
    },
    /// A node does nothing.
    #[error("node `{node}` of workflow `{workflow}` has no body; give it one by `NodeBuilder::run`")]
    NoBody {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// No node is the start.
    #[error("workflow `{workflow}` has no start; mark the first node by `start`")]
    NoStart {
        /// The workflow.
        workflow: String,
    },
    /// Two nodes are the start.
    #[error("workflow `{workflow}` starts at `{first}` and at `{second}`; leave `start` on one of them")]
    TwoStarts {
        /// The workflow.
        workflow: String,
        /// One node.
        first: String,
        /// The other node.
        second: String,
    },
    /// An edge names no node.
    #[error("`{by}` of workflow `{workflow}` names `{name}`, which is no node{suggestion}; nodes: {known}")]
    UnknownNode {
        /// The workflow.
        workflow: String,
        /// The node that names it.
        by: String,
        /// The name.
        name: String,
        /// The nearest name, as `, did you mean …`, or nothing.
        suggestion: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// Two nodes come after one.
    #[error(
        "nodes `{first}` and `{second}` of workflow `{workflow}` both run after `{before}`; let one of them follow the \
         other, or let `{before}` choose by `routes`"
    )]
    TwoAfter {
        /// The workflow.
        workflow: String,
        /// The node before.
        before: String,
        /// One node.
        first: String,
        /// The other node.
        second: String,
    },
    /// A node comes after one that never leads to it.
    #[error(
        "node `{node}` of workflow `{workflow}` runs after `{before}`, whose routes do not name it; add it to them"
    )]
    AfterNotRouted {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// The node before.
        before: String,
    },
    /// A node can never run.
    #[error(
        "node `{node}` of workflow `{workflow}` is never reached; give it an `after`, or name it in `routes`"
    )]
    Unreachable {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A node declares routes and returns no `Goto`.
    #[error(
        "node `{node}` of workflow `{workflow}` has routes but returns no `Goto`; return one, or remove `routes`"
    )]
    RoutesWithoutGoto {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A node returns a `Goto` and declares no routes.
    #[error(
        "node `{node}` of workflow `{workflow}` returns a `Goto` but has no routes; declare where it may lead"
    )]
    GotoWithoutRoutes {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A condition returns no `Goto`.
    #[error(
        "node `{node}` of workflow `{workflow}` is a condition but returns no `Goto`; return one, or give it another kind"
    )]
    ConditionWithoutGoto {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A node has routes to nowhere.
    #[error(
        "routes of node `{node}` of workflow `{workflow}` lead nowhere; name a node, or let them end the execution"
    )]
    NoRoutes {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// Nodes follow each other in a circle that nothing leaves.
    #[error(
        "nodes of workflow `{workflow}` follow each other in a circle without a way out: {circle}; let one of them \
         choose by `routes`"
    )]
    Endless {
        /// The workflow.
        workflow: String,
        /// The nodes, in order.
        circle: String,
    },
    /// A token filter's pattern is no regular expression.
    #[error("`pattern` of node `{node}` of workflow `{workflow}` is no regular expression: {reason}")]
    Pattern {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option leaves no room to work.
    #[error("`{option}` of node `{node}` of workflow `{workflow}` is {value}; it must be {legal}")]
    Option {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is legal.
        legal: &'static str,
    },
    /// An option of a workflow leaves no room to work.
    #[error("`{option}` of workflow `{workflow}` is {value}; it must be {legal}")]
    WorkflowOption {
        /// The workflow.
        workflow: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is legal.
        legal: &'static str,
    },
    /// An option of the engine or of its logs leaves no room to work.
    #[error("`{option}` is {value}; it must be at least {least}")]
    TooSmall {
        /// The option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The least it may be.
        least: usize,
    },
    /// The bounds of the logs leave no room to work.
    #[error("{0}")]
    Log(#[from] streamnest_log::Error),
}

impl Error {
    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::TooSmall { .. } => "invalid_option",
            _ => "invalid_workflow",
        }
    }

    /// Whether the same call may succeed later: never, the workflow is as it is.
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// What a node returns.
pub type NodeResult<T> = Result<T, NodeError>;

/// Why a node failed. Any error becomes one by `?`.
///
/// Its text goes to the server's trace, where the execution's id finds it. A client is told only that the node failed,
/// unless the error was made by [`NodeError::public`].
pub struct NodeError {
    source: Option<Box<dyn StdError + Send + Sync>>,
    code: &'static str,
    public: Option<String>,
}

impl NodeError {
    /// A failure whose text any client may see.
    pub fn public(message: impl Into<String>) -> Self {
        Self { source: None, code: "node_failed", public: Some(message.into()) }
    }

    /// A failure with a code of its own.
    pub(crate) fn coded(code: &'static str, message: impl Into<String>) -> Self {
        Self { source: None, code, public: Some(message.into()) }
    }

    /// With what caused it, for the server's trace.
    pub(crate) fn caused_by(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..self }
    }

    /// A stable identifier, listed in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What a client may be told.
    pub(crate) fn public_message(&self, node: &str) -> String {
        match &self.public {
            Some(message) => message.clone(),
            None => format!("node `{node}` failed; the server's trace of this execution says why"),
        }
    }
}

/// So that `?` takes any error. `NodeError` is no `std::error::Error` itself, which is what makes this possible.
impl<E: StdError + Send + Sync + 'static> From<E> for NodeError {
    fn from(error: E) -> Self {
        Self { source: Some(Box::new(error)), code: "node_failed", public: None }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(message) = &self.public {
            f.write_str(message)?;
            separator = ": ";
        }
        let mut cause = self.source.as_ref().map(|source| &**source as &dyn StdError);
        while let Some(error) = cause {
            write!(f, "{separator}{error}")?;
            (separator, cause) = (": ", error.source());
        }
        Ok(())
    }
}

impl fmt::Debug for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeError({}: {self})", self.code)
    }
}

/// The nearest of `known` to `name`, as `, did you mean …`; empty if none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|other| (distance(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= 2.max(name.len() / 3) => format!(", did you mean `{other}`?"),
        _ => String::new(),
    }
}

/// The edit distance of two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (slot, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(from != *to)).min(left + 1).min(*slot + 1);
            diagonal = std::mem::replace(slot, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

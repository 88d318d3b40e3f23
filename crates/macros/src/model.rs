//! What the attributes say, as types: no `syn::Attribute` is left here.

mod composition;

use std::time::Duration;

use proc_macro2::{Ident, Span};
use syn::{Expr, Generics, LitStr, Path, Type};

pub(crate) use self::composition::{Export, FieldSource, InjectField, Injectable, Module, Provider, Source};

/// A workflow: its `impl` block, read.
pub(crate) struct Workflow {
    /// Its name, given or made from the type's.
    pub(crate) name: String,
    /// The type of its state.
    pub(crate) state: Type,
    pub(crate) description: Option<LitStr>,
    pub(crate) streaming: Option<bool>,
    pub(crate) max_steps: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_disconnect: Option<OnDisconnect>,
    pub(crate) values: Option<bool>,
    /// The generics of the `impl` block.
    pub(crate) generics: Generics,
    /// The type that the block is for.
    pub(crate) self_type: Type,
    /// The nodes, in the order in which they stand.
    pub(crate) nodes: Vec<Node>,
}

/// A node: its method and what its attributes say.
pub(crate) struct Node {
    /// The method's name.
    pub(crate) method: Ident,
    /// The node's name: the method's, unless `name = "…"` says another.
    pub(crate) name: NodeName,
    pub(crate) options: NodeOptions,
    pub(crate) signature: NodeSignature,
    pub(crate) ways: Ways,
    pub(crate) token: Option<TokenOptions>,
    pub(crate) event: Option<EventOptions>,
    pub(crate) progress: Option<ProgressOptions>,
}

impl Node {
    /// Whether the method's value is taken as a stream of tokens, and if so, whether it comes in a `Result`: its type
    /// is spelt so, or `gather` or `kind = "stream"` says it.
    pub(crate) fn streams(&self) -> Option<Fallible> {
        let gathers_text = self.options.gather.is_some() && self.options.each.is_none();
        let said = gathers_text || matches!(self.options.kind, Some((Kind::Stream, _)));
        match self.signature.output {
            Output::Stream { fallible } => Some(Fallible(fallible)),
            Output::Outcome { fallible, goto: false } if said => Some(Fallible(fallible)),
            Output::Outcome { .. } => None,
        }
    }

    /// Whether it waits for several nodes, or for the first of several.
    pub(crate) fn is_join(&self) -> bool {
        self.options.after.as_ref().is_some_and(|after| after.any || after.nodes.len() > 1)
    }

    /// The node's kind.
    pub(crate) fn kind(&self) -> Kind {
        self.options.kind.map_or(Kind::Standard, |(kind, _)| kind)
    }
}

/// Whether a value comes in a `Result`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fallible(pub(crate) bool);

/// A node's name and where it stands in the source.
pub(crate) struct NodeName {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// What `#[node(…)]` says.
#[derive(Default)]
pub(crate) struct NodeOptions {
    pub(crate) kind: Option<(Kind, Span)>,
    pub(crate) start: Option<Span>,
    pub(crate) after: Option<After>,
    pub(crate) routes: Option<Routes>,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) each: Option<LitStr>,
    pub(crate) concurrency: Option<(usize, Span)>,
    pub(crate) workflow: Option<(Type, Span)>,
    pub(crate) gather: Option<LitStr>,
    pub(crate) name: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) tags: Vec<LitStr>,
    /// Every option that was named, also where its value was wrong.
    pub(crate) said: Vec<&'static str>,
    /// Whether something in it was wrong, so that what follows from it is not to be told again.
    pub(crate) broken: bool,
}

impl NodeOptions {
    /// Whether `option` was named, rightly or not.
    pub(crate) fn names(&self, option: &str) -> bool {
        self.said.contains(&option)
    }
}

/// The nodes that a node runs after.
pub(crate) struct After {
    /// The option's name.
    pub(crate) span: Span,
    pub(crate) nodes: Vec<LitStr>,
    /// Whether the first of them is enough.
    pub(crate) any: bool,
}

/// What `retry(…)` says; what it leaves out is the runtime's default.
#[derive(Default)]
pub(crate) struct Retry {
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<Duration>,
    pub(crate) max_backoff: Option<Duration>,
    pub(crate) jitter: Option<f64>,
    pub(crate) on: Option<Vec<RetryOn>>,
}

/// A failure that is worth another try.
pub(crate) enum RetryOn {
    Code(LitStr),
    Retryable,
}

/// Where a node's `Goto` may lead.
pub(crate) struct Routes {
    /// The option's name.
    pub(crate) span: Span,
    pub(crate) targets: Vec<LitStr>,
    /// Whether `end` is among them.
    pub(crate) end: bool,
}

/// Where a node goes, as far as its body says so.
#[derive(Default)]
pub(crate) struct Ways {
    /// All that are written out.
    pub(crate) said: Vec<Way>,
    /// Those that it takes; `None` if there may be others.
    pub(crate) all: Option<Vec<Way>>,
}

/// A way that is written out.
#[derive(Clone)]
pub(crate) enum Way {
    To(LitStr),
    End(Span),
}

/// The kinds of node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Standard,
    Llm,
    Tool,
    Task,
    Condition,
    Aggregator,
    Stream,
    Subgraph,
}

/// What of a method's signature the glue needs.
pub(crate) struct NodeSignature {
    pub(crate) is_async: bool,
    /// The span of the type of the parameter that takes the state.
    pub(crate) state: Span,
    /// The span of the type of the parameter that takes the item, of a node with `each`.
    pub(crate) item: Option<Span>,
    /// The span of the type of the parameter that takes the context, if there is one.
    pub(crate) context: Option<Span>,
    pub(crate) output: Output,
    /// The span of the return type.
    pub(crate) span: Span,
}

/// What a method returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// An update, or a `Goto` with one.
    Outcome {
        /// Whether the type is spelt with `Goto`.
        goto: bool,
        /// Whether it is spelt as a `Result`.
        fallible: bool,
    },
    /// A stream of tokens.
    Stream {
        /// Whether it comes in a `Result`.
        fallible: bool,
    },
}

/// What `#[stream_token(…)]` says; what it leaves out is the runtime's default.
#[derive(Default)]
pub(crate) struct TokenOptions {
    pub(crate) enabled: Option<bool>,
    pub(crate) buffer_size: Option<usize>,
    pub(crate) batch_size: Option<usize>,
    pub(crate) flush_interval: Option<Duration>,
    pub(crate) format: Option<&'static str>,
    pub(crate) include_metadata: Option<bool>,
    pub(crate) processor: Option<Expr>,
    pub(crate) filter: Option<TokenFilter>,
}

/// Which tokens get a frame.
#[derive(Default)]
pub(crate) struct TokenFilter {
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) pattern: Option<LitStr>,
    pub(crate) exclude_whitespace: Option<bool>,
}

/// What `#[stream_event(…)]` says.
#[derive(Default)]
pub(crate) struct EventOptions {
    pub(crate) events: Option<Vec<EventType>>,
    pub(crate) enabled: Option<bool>,
    pub(crate) buffer_size: Option<usize>,
    pub(crate) batch_size: Option<usize>,
    pub(crate) transformer: Option<Expr>,
    pub(crate) filter: Option<EventFilter>,
    pub(crate) delivery: Option<&'static str>,
}

/// Which events are written.
#[derive(Default)]
pub(crate) struct EventFilter {
    pub(crate) event_types: Option<Vec<EventType>>,
    pub(crate) exclude_types: Option<Vec<EventType>>,
    pub(crate) min_priority: Option<&'static str>,
    pub(crate) include_debug: Option<bool>,
}

/// An event type: a well-known one, or a name of the user's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EventType {
    /// The name on the wire.
    pub(crate) name: String,
    /// Whether it is well known.
    pub(crate) well_known: bool,
}

/// What `#[stream_progress(…)]` says.
#[derive(Default)]
pub(crate) struct ProgressOptions {
    pub(crate) enabled: Option<bool>,
    pub(crate) interval: Option<Duration>,
    pub(crate) granularity: Option<&'static str>,
    pub(crate) include_eta: Option<bool>,
    pub(crate) include_metrics: Option<bool>,
    pub(crate) milestones: Option<Vec<f64>>,
    pub(crate) calculator: Option<Expr>,
    pub(crate) format: Option<ProgressFormat>,
}

/// How progress is written out.
#[derive(Default)]
pub(crate) struct ProgressFormat {
    pub(crate) show_percentage: Option<bool>,
    pub(crate) show_current: Option<bool>,
    pub(crate) show_total: Option<bool>,
    pub(crate) show_rate: Option<bool>,
    pub(crate) precision: Option<usize>,
}

/// What happens to an execution when its last subscriber is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnDisconnect {
    Continue,
    Cancel,
}

/// A struct that derives `State`.
pub(crate) struct StateStruct {
    /// Where the facade is, if it was renamed.
    pub(crate) facade: Option<Path>,
    pub(crate) vis: syn::Visibility,
    pub(crate) name: Ident,
    pub(crate) fields: Vec<StateField>,
}

/// A field of a state.
pub(crate) struct StateField {
    pub(crate) name: Ident,
    /// The name on the wire: the field's own.
    pub(crate) wire: String,
    pub(crate) ty: Type,
    pub(crate) doc: Option<String>,
    pub(crate) default: Option<FieldDefault>,
    pub(crate) reducer: Reducer,
}

/// What a field holds when the input leaves it out.
pub(crate) enum FieldDefault {
    /// Its type's default.
    OfType,
    /// The value of an expression.
    Expression(Box<Expr>),
}

/// How an update meets what a field holds.
pub(crate) enum Reducer {
    /// The update takes its place.
    Replace,
    /// The update's items follow.
    Append(Span),
    /// The update's entries are put in.
    Merge(Span),
    /// The greater value stays.
    Maximum(Span),
    /// The smaller value stays.
    Minimum(Span),
    /// The update is added.
    Sum(Span),
    /// A function of the user's, and whether it comes to the same in any order.
    Function { path: Path, commutes: bool },
}

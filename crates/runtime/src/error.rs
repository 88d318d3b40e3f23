//! What can be wrong with a workflow, and what can go wrong in a node.

use std::{error::Error as StdError, fmt};

use streamnest_core::NodeName;

/// A workflow that cannot be built. Found when the application is built, before anything runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A workflow or node has a name that is none.
    #[error("{of}: {reason}; rename it")]
    Name {
        /// Which one, by what was given for a name.
        of: String,
        /// Why it is none.
        #[source]
        reason: streamnest_core::Error,
    },
    /// A workflow has the name under which executions are listed that programs outside speak for.
    #[error(
        "there can be no workflow `{workflow}`: executions that programs outside speak for are listed so; give it another name"
    )]
    ReservedName {
        /// The name.
        workflow: String,
    },
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
    /// A node's name holds a `/`, which stands between a node and those of the workflow that it runs.
    #[error(
        "node `{node}` of workflow `{workflow}` has a `/` in its name; it stands between a node and the nodes of the workflow \
         that it runs, write `-` or `_`"
    )]
    Slash {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// There is nothing to run.
    #[error(
        "workflow `{workflow}` has no nodes; add the first one by `WorkflowBuilder::node`, marked by `start`"
    )]
    NoNodes {
        /// The workflow.
        workflow: String,
    },
    /// No node is the start.
    #[error("workflow `{workflow}` has no start; mark the first node by `start`, nodes: {nodes}")]
    NoStart {
        /// The workflow.
        workflow: String,
        /// The names of its nodes, separated by commas.
        nodes: String,
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
    #[error("`{option}` of node `{by}` of workflow `{workflow}` names `{name}`, which is no node; {way_out}")]
    UnknownNode {
        /// The workflow.
        workflow: String,
        /// Where it is named: `after` or `routes`.
        option: &'static str,
        /// The node that names it.
        by: String,
        /// The name.
        name: String,
        /// The nearest name, if one is near, and the names that there are.
        way_out: String,
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
    /// A node names one that it runs after twice.
    #[error("node `{node}` of workflow `{workflow}` runs after `{before}` twice; name it once")]
    AfterTwice {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// The node before.
        before: String,
    },
    /// A node names a route twice.
    #[error(
        "node `{node}` of workflow `{workflow}` has the route `{target}` twice; a `Goto` takes it once, keep one"
    )]
    RouteTwice {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// The route.
        target: String,
    },
    /// Two branches that run at once lead to a node that does not join them.
    #[error(
        "node `{node}` of workflow `{workflow}` is reached from `{first}` and from `{second}`, which run at once after \
         `{fork}`, and would run once for each; name the nodes before it together, so that it waits for all of them \
         (`after(\"a\", \"b\")`) or runs with the first (`after(any(\"a\", \"b\"))`)"
    )]
    MissingJoin {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// Where the branches part.
        fork: String,
        /// The first node of one branch.
        first: String,
        /// The first node of the other.
        second: String,
    },
    /// An aggregator brings nothing together.
    #[error(
        "node `{node}` of workflow `{workflow}` is an aggregator but runs after fewer than two nodes; name those that it \
         brings together, or give it another kind"
    )]
    AggregatorWithoutJoin {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A node that runs for each item returns a `Goto`.
    #[error(
        "node `{node}` of workflow `{workflow}` runs once for each item and returns a `Goto`; items cannot choose where to \
         go on, put a condition after it"
    )]
    ItemsChoose {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
    },
    /// A node that runs another workflow does not say which, or one says which and is of another kind.
    #[error(
        "node `{node}` of workflow `{workflow}` is of kind `{kind}` and {names}; a node of kind `subgraph` names the workflow \
         that it runs, and no other does"
    )]
    Subgraph {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// Its kind.
        kind: &'static str,
        /// Whether it names a workflow.
        names: &'static str,
    },
    /// A workflow runs itself.
    #[error("workflow `{workflow}` runs itself: {path}; loop by `routes` instead")]
    Recursive {
        /// The workflow.
        workflow: String,
        /// The nodes from it to itself.
        path: String,
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
         choose by `routes` that also lead to the end or to a node outside"
    )]
    Endless {
        /// The workflow.
        workflow: String,
        /// The nodes, in order.
        circle: String,
    },
    /// A token filter's pattern is no regular expression.
    #[error(
        "`pattern` of node `{node}` of workflow `{workflow}` is no regular expression; mend it, or put `\\` before what stands for itself: {error}"
    )]
    Pattern {
        /// The workflow.
        workflow: String,
        /// The node.
        node: String,
        /// What is wrong with it.
        error: regex::Error,
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
    /// A model has two prices.
    #[error("`EngineOptions::prices` has model `{model}` twice; give it one price")]
    PricedTwice {
        /// The model.
        model: String,
    },
    /// An engine has its workflows already.
    #[error("engine has its workflows already; give it all of them at once")]
    HasWorkflows,
    /// The bounds of the logs leave no room to work.
    #[error(transparent)]
    Log(#[from] streamnest_log::Error),
}

impl Error {
    /// `node` of `workflow` has a name that is none.
    pub(crate) fn node_name(workflow: &str, node: &str, reason: streamnest_core::Error) -> Self {
        Self::Name { of: format!("node `{node}` of workflow `{workflow}`"), reason }
    }

    /// A stable identifier, listed in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name { reason, .. } => reason.code(),
            Self::Log(error) => error.code(),
            Self::TooSmall { .. } | Self::PricedTwice { .. } => "invalid_option",
            Self::HasWorkflows => "has_workflows",
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
    retryable: bool,
    /// No other attempt can help.
    conclusive: bool,
    /// The node of a subgraph in which it began.
    origin: Option<NodeName>,
}

impl NodeError {
    /// A failure whose text any client may see.
    pub fn public(message: impl Into<String>) -> Self {
        Self::coded("node_failed", message)
    }

    /// A failure with a code of its own.
    pub(crate) fn coded(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            source: None,
            code,
            public: Some(message.into()),
            retryable: false,
            conclusive: false,
            origin: None,
        }
    }

    /// With a code of your own in place of `node_failed`, by which clients and `retry(on(…))` know it.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// Says that the same work may succeed later: `retry(on(retryable))` tries it again.
    #[must_use]
    pub fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// Whether the same work may succeed later, in the words of who made the error.
    pub const fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// What caused it, if that was an error.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.source.as_deref()
    }

    /// Says that no other attempt can help.
    pub(crate) fn conclusive(self) -> Self {
        Self { conclusive: true, ..self }
    }

    /// Whether no other attempt can help.
    pub(crate) const fn is_conclusive(&self) -> bool {
        self.conclusive
    }

    /// The error of a node, as the node outside it sees it.
    pub(crate) fn began_in(mut self, node: &NodeName) -> Self {
        self.origin.get_or_insert_with(|| node.clone());
        self
    }

    /// The node in which it began, if that is within a subgraph.
    pub(crate) const fn origin(&self) -> Option<&NodeName> {
        self.origin.as_ref()
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
            None => {
                let node = self.origin.as_deref().unwrap_or(node);
                format!("node `{node}` failed; the server's trace of this execution says why")
            }
        }
    }
}

/// So that `?` takes any error. `NodeError` is no `std::error::Error` itself, which is what makes this possible.
impl<E: StdError + Send + Sync + 'static> From<E> for NodeError {
    fn from(error: E) -> Self {
        let source: Box<dyn StdError + Send + Sync> = Box::new(error);
        Self {
            source: Some(source),
            code: "node_failed",
            public: None,
            retryable: false,
            conclusive: false,
            origin: None,
        }
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

/// The nearest of `known` to `name`, as `did you mean …? If not, `; empty if none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|other| (distance(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= 2.max(name.len() / 3) => {
            format!("did you mean `{other}`? If not, ")
        }
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

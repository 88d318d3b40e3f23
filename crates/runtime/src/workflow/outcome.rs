//! What a visit of a node comes to.

use crate::{State, StateUpdate};

/// Where to go on, and with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goto<U> {
    pub(crate) target: Target,
    pub(crate) update: Option<U>,
}

/// Where a [`Goto`] leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Nodes(Vec<String>),
    End,
}

impl<U> Goto<U> {
    /// On to `node`, which must be among the node's routes.
    pub fn to(node: impl Into<String>) -> Self {
        Self { target: Target::Nodes(vec![node.into()]), update: None }
    }

    /// On to all of `nodes`, which run at the same time and must be among the node's routes.
    pub fn to_all<N: Into<String>>(nodes: impl IntoIterator<Item = N>) -> Self {
        Self { target: Target::Nodes(nodes.into_iter().map(Into::into).collect()), update: None }
    }

    /// To the end of this branch, which must be among the node's routes. The execution ends when all its branches have.
    pub const fn end() -> Self {
        Self { target: Target::End, update: None }
    }

    /// With a change to the state.
    #[must_use]
    pub fn with(self, update: U) -> Self {
        Self { update: Some(update), ..self }
    }
}

/// What a visit of a node comes to.
#[derive(Debug)]
pub struct Step<S: State> {
    pub(crate) update: Option<S::Update>,
    pub(crate) target: Option<Target>,
}

/// What a node may return: an update of the state `S`, a [`Goto`], or nothing.
#[diagnostic::on_unimplemented(
    message = "a node cannot return `{Self}`",
    label = "returned by a node",
    note = "a node returns `NodeResult` of the `…Update` of its workflow's state, of a `Goto` with one, or of `()`"
)]
pub trait NodeOutcome<S: State>: Send {
    /// Whether it may choose where to go on.
    const MAY_GO_TO: bool = false;

    /// What it comes to.
    fn into_step(self) -> Step<S>;
}

impl<U: StateUpdate> NodeOutcome<U::State> for U {
    fn into_step(self) -> Step<U::State> {
        Step { update: Some(self), target: None }
    }
}

impl<U: StateUpdate> NodeOutcome<U::State> for Goto<U> {
    const MAY_GO_TO: bool = true;

    fn into_step(self) -> Step<U::State> {
        Step { update: self.update, target: Some(self.target) }
    }
}

impl<S: State> NodeOutcome<S> for () {
    fn into_step(self) -> Step<S> {
        Step { update: None, target: None }
    }
}

/// What a node with routes returns: a [`Goto`].
#[diagnostic::on_unimplemented(
    message = "a node with routes must return a `Goto`, not `{Self}`",
    label = "does not say where to go on",
    note = "return `NodeResult<Goto<…Update>>`: `Goto::to(\"node\")` or `Goto::end()`, and `.with(update)` if it changes the state"
)]
pub trait ConditionOutcome<S: State>: NodeOutcome<S> {}

impl<U: StateUpdate> ConditionOutcome<U::State> for Goto<U> {}

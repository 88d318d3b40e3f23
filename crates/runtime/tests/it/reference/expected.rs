//! What the reference says of a run.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::spec::Place;

/// All that is promised of a run.
#[derive(Default, Debug)]
pub(super) struct Expected {
    /// What each visit and each item says, in order. Of a place, the attempt is 0.
    pub(super) lines: BTreeMap<Place, Line>,
    /// The first stands before the second.
    pub(super) before: Vec<(Mark, Mark)>,
    /// Each time that a body is called, and the state that it sees.
    pub(super) bodies: BTreeMap<Place, Map<String, Value>>,
    pub(super) end: End,
    /// When something happened.
    pub(super) times: Vec<u64>,
    /// Whether two things happened in one moment whose order is not promised.
    pub(super) open: bool,
}

/// An entry: what says it, and which of its entries it is.
pub(super) type Mark = (Place, usize);

/// What a visit or an item says.
#[derive(Default, Debug)]
pub(super) struct Line {
    pub(super) entries: Vec<String>,
    /// The first entry of the attempt around it.
    pub(super) around: Option<Mark>,
    /// Whether it began in the moment in which it was stopped, so that it may have said nothing yet, or all.
    pub(super) loose: bool,
}

/// How a run ends.
#[derive(Default, Debug)]
pub(super) struct End {
    /// `completed`, `cancelled`, or `failed: code`.
    pub(super) how: String,
    pub(super) result: Option<Value>,
    /// The node in which the error began, if an attempt failed.
    pub(super) node: Option<String>,
    /// What the message may hold; one of them it does. Empty for anything.
    pub(super) says: Vec<String>,
}

//! What branches see of each other, and in which order their changes meet.

use serde_json::json;

use super::*;
use crate::{
    InputError, StateUpdate,
    reduce::{Reducer, append, merge},
};

#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
struct Board {
    text: String,
    keyed: std::collections::BTreeMap<String, u32>,
    plain: u32,
}

#[derive(Clone, Default, serde::Serialize)]
struct BoardUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keyed: Option<std::collections::BTreeMap<String, u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plain: Option<u32>,
}

impl State for Board {
    type Update = BoardUpdate;

    fn from_input(_: Value) -> Result<Self, InputError> {
        Ok(Self::default())
    }

    fn apply(&mut self, update: BoardUpdate) {
        APPLIED.set(APPLIED.get() + 1);
        if let Some(text) = update.text {
            append(&mut self.text, text);
        }
        if let Some(keyed) = update.keyed {
            merge(&mut self.keyed, keyed);
        }
        self.plain = update.plain.unwrap_or(self.plain);
    }

    fn input_schema() -> Value {
        Value::Null
    }

    fn reducer(field: &str) -> Reducer {
        match field {
            "text" => Reducer::Append,
            "keyed" => Reducer::Merge,
            _ => Reducer::Replace,
        }
    }
}

impl StateUpdate for BoardUpdate {
    type State = Board;
}

fn says(text: &str) -> BoardUpdate {
    BoardUpdate { text: Some(text.into()), ..BoardUpdate::default() }
}

fn sets(key: &str) -> BoardUpdate {
    BoardUpdate { keyed: Some([(key.to_owned(), 1)].into()), ..BoardUpdate::default() }
}

thread_local! {
    /// How often an update was applied to a state.
    static APPLIED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A history of which branches part at the start.
struct Play {
    history: History<Board>,
    begin: Arc<Version<Board>>,
}

impl Play {
    fn new() -> Self {
        let mut history = History::new(Board::default());
        history.set_single(false);
        let begin = history.begin();
        Self { history, begin }
    }

    /// A visit of `node` after the visits that `tokens` stand for.
    fn visit(
        &mut self,
        node: NodeIndex,
        tokens: &[&Arc<Version<Board>>],
        update: BoardUpdate,
    ) -> Result<Arc<Version<Board>>, Conflict> {
        let opened = self.history.open(tokens.iter().map(|token| Arc::clone(token)).collect())?.version();
        let json = serde_json::to_value(&update).unwrap();
        Ok(Arc::new(self.history.close(opened, (node, 1), vec![update], &[json])))
    }
}

#[test]
fn changes_meet_by_depth_and_then_by_node_whatever_came_first() {
    for late_first in [false, true] {
        let mut play = Play::new();
        let begin = play.begin.clone();
        let (a, b, b2);
        if late_first {
            b = play.visit(2, &[&begin], says("b")).unwrap();
            b2 = play.visit(3, &[&b], says("B")).unwrap();
            a = play.visit(1, &[&begin], says("a")).unwrap();
        } else {
            a = play.visit(1, &[&begin], says("a")).unwrap();
            b = play.visit(2, &[&begin], says("b")).unwrap();
            b2 = play.visit(3, &[&b], says("B")).unwrap();
        }
        assert_eq!((a.state.text.as_str(), b2.state.text.as_str()), ("a", "bB"), "neither sees the other");
        let join = play.visit(4, &[&a, &b2], says("!")).unwrap();
        assert_eq!(join.state.text, "abB!");
        play.history.end(&join).unwrap();
        assert_eq!(play.history.result().state().text, "abB!");
    }
}

#[test]
fn what_lies_behind_both_branches_is_applied_once() {
    let mut play = Play::new();
    let begin = play.begin.clone();
    let a = play.visit(1, &[&begin], says("a")).unwrap();
    let b = play.visit(2, &[&a], says("b")).unwrap();
    let c = play.visit(3, &[&a], says("c")).unwrap();
    assert_eq!(play.visit(4, &[&b, &c], says("")).unwrap().state.text, "abc");
    // One of them behind the other: nothing is put together.
    assert_eq!(play.visit(5, &[&a, &c], says("")).unwrap().state.text, "ac");
}

#[test]
fn two_branches_may_change_one_field_only_if_its_reducer_joins_them() {
    let plain = || BoardUpdate { plain: Some(1), ..BoardUpdate::default() };
    for (first, second, conflict) in [
        (says("a"), says("b"), None),
        (says("a"), plain(), None),
        (plain(), plain(), Some(("plain", None))),
        (sets("x"), sets("y"), None),
        (sets("x"), sets("x"), Some(("keyed", Some("x")))),
    ] {
        let mut play = Play::new();
        let begin = play.begin.clone();
        // The later node first: a conflict names them in their order.
        let b = play.visit(2, &[&begin], second).unwrap();
        let a = play.visit(1, &[&begin], first).unwrap();
        let met = play.visit(3, &[&a, &b], says("")).map(drop);
        let expected = conflict.map(|(field, key): (&str, Option<&str>)| Conflict {
            first: 1,
            second: 2,
            field: field.into(),
            key: key.map(Into::into),
        });
        assert_eq!(met.err(), expected);
        // The same at the end of the run.
        play.history.end(&a).unwrap();
        assert_eq!(play.history.end(&b).err(), expected);
    }
}

#[test]
fn a_branch_that_never_ends_leaves_no_trace_but_in_a_snapshot() {
    let mut play = Play::new();
    let begin = play.begin.clone();
    let a = play.visit(1, &[&begin], says("a")).unwrap();
    play.visit(2, &[&begin], says("lost")).unwrap();
    play.history.end(&a).unwrap();
    assert_eq!(play.history.result().state().text, "a");
    assert_eq!(play.history.snapshot().state().text, "alost");
}

#[test]
fn one_branch_keeps_no_changes_and_copies_no_state() {
    let mut history = History::new(Board::default());
    let mut token = history.begin();
    let state = Arc::as_ptr(&token.state);
    for _ in 0..3 {
        let version = history.open(vec![token]).unwrap().version();
        let json = json!({"text": "x"});
        token = Arc::new(history.close(version, (0, 1), vec![says("x")], &[json]));
    }
    assert_eq!((token.state.text.as_str(), history.changes.len()), ("xxx", 0));
    assert_eq!(Arc::as_ptr(&token.state), state, "changed in place");
    // A branch that ended before without a change stands in nobody's way.
    let snapshot = history.snapshot().state();
    let version = history.open(vec![token]).unwrap().version();
    let json = json!({"text": "y"});
    let token = history.close(version, (0, 1), vec![says("y")], &[json]);
    assert_eq!(
        (snapshot.text.as_str(), token.state.text.as_str()),
        ("xxx", "xxxy"),
        "who looks sees no change"
    );
}

#[test]
fn branches_that_meet_are_looked_at_once_however_many_there_are() {
    for n in [10, 100, 1_000_usize] {
        let mut play = Play::new();
        let root = play.visit(0, &[&play.begin.clone()], says("root")).unwrap();
        let branches: Vec<_> =
            (1..=n).map(|node| play.visit(node, &[&root], sets(&node.to_string())).unwrap()).collect();
        let before = APPLIED.replace(0);
        assert_eq!(before, 1 + n);
        let join = play.visit(n + 1, &branches.iter().collect::<Vec<_>>(), says("!")).unwrap();
        assert_eq!((join.state.text.as_str(), join.state.keyed.len()), ("root!", n));
        assert_eq!(APPLIED.replace(0), 1 + n + 1, "each change is applied once, and then that of the join");
        // At the end of the run each branch comes for itself.
        branches.iter().for_each(|branch| play.history.end(branch).unwrap());
        assert_eq!(APPLIED.replace(0), 0);
        // Whoever holds the history only takes the changes; applying them is the user's code.
        let (result, snapshot) = (play.history.result(), play.history.snapshot());
        let begins = play.history.open(branches.clone()).unwrap();
        assert_eq!(APPLIED.replace(0), 0);
        assert_eq!((result.state().keyed.len(), APPLIED.replace(0)), (n, 1 + n));
        assert_eq!((snapshot.state().keyed.len(), APPLIED.replace(0)), (n, 1 + n + 1));
        assert_eq!((begins.version().state.keyed.len(), APPLIED.replace(0)), (n, 1 + n));
    }
}

#[test]
fn who_meets_is_held_against_those_only_that_took_its_places_last() {
    let shared = [(0, Hold::ByKeys), (1, Hold::Alone)];
    let own: Vec<_> = (0..1_000_u32).map(|change| [(0, Hold::ByKeys), (change + 2, Hold::Alone)]).collect();
    let looks = std::cell::Cell::new(0);
    let claims = |change: u32| {
        looks.set(looks.get() + 1);
        if change == 0 { &shared[..] } else { &own[change as usize - 1][..] }
    };
    let mut meeting = Meeting::default();
    for branch in 1..=1_000 {
        assert!(meeting.add(&[0, branch], claims).is_ok());
    }
    assert_eq!((meeting.len(), looks.get()), (1_001, 1_001));
    assert!(
        meeting.is_within(&(0..=1_000).collect::<Vec<_>>())
            && !meeting.is_within(&(0..1_000).collect::<Vec<_>>())
    );
}

#[test]
fn maps_and_lists_of_one_merged_field_meet_only_if_one_lies_behind_the_other() {
    use Hold::{Alone, ByKeys, ByMembers};
    // The changes 0 and 1, and 2, whose past is said.
    for (holds, past, clash) in [
        ([ByKeys, ByKeys, ByKeys], vec![2], None),
        ([ByMembers, ByMembers, ByMembers], vec![2], None),
        ([ByKeys, ByKeys, ByMembers], vec![0, 2], Some([1, 2])),
        ([ByKeys, ByKeys, ByMembers], vec![0, 1, 2], None),
        ([ByKeys, ByKeys, Alone], vec![1, 2], Some([0, 2])),
        ([Alone, Alone, Alone], vec![0, 2], Some([0, 1])),
    ] {
        let claims: Vec<_> = holds.iter().map(|hold| [(7, *hold)]).collect();
        let claims = |change: u32| &claims[change as usize][..];
        let mut meeting = Meeting::default();
        let met = [vec![0], vec![1], past.clone()].iter().try_for_each(|past| meeting.add(past, claims));
        let met = met.err().map(|Clash { place, changes }| {
            assert_eq!(place, 7);
            changes
        });
        assert_eq!(met, clash, "{holds:?} {past:?}");
    }
    // Who comes after two that share a place is held against those before them too.
    let claims =
        |change: u32| [&[(7, Alone)][..], &[(7, ByKeys)], &[(7, ByKeys)], &[(7, ByKeys)]][change as usize];
    let mut meeting = Meeting::default();
    assert!(meeting.add(&[0, 1], claims).is_ok() && meeting.add(&[0, 2], claims).is_ok());
    assert_eq!(meeting.add(&[3], claims).err().map(|clash| clash.changes), Some([0, 3]));
}

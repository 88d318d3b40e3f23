//! What entries said, in one piece: what `replay: "compact"` sends a late reader in place of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamnest_core::{
    Approval, ApprovalAnswer, Class, Entry, EventType, ExecutionId, LogIdentity, MessageId, NodeName,
    Position, Seq,
    payload::{Progress, Token},
};

use super::{SubscriptionName, SubscriptionState};

/// What a message, a node or an event adds to the size of a snapshot beside its own text, in bytes; about what its names
/// and numbers take as JSON.
const ITEM_BYTES: usize = 160;

/// What the entries `from` to `to` of an execution said, in place of them. The entry after `to` follows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The execution.
    pub execution_id: ExecutionId,
    /// The subscription's name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionName>,
    /// The first sequence number that it stands for.
    pub from: Seq,
    /// The last one, inclusive. A terminal status is never among them.
    pub to: Seq,
    /// Where the reader stands now: after `to`.
    pub position: Position,
    /// Where the execution stands.
    pub state: SubscriptionState,
    /// What nodes said, in the order in which they began to.
    pub nodes: Vec<NodeSnapshot>,
    /// Attempts that were tried again, so that what they and the subgraphs in them had said is void, also before `from`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voided: Vec<Attempt>,
    /// The newest `values`: the workflow's whole state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Value>,
    /// Questions that were asked and have no answer yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Approval>,
    /// Answers to questions from before `from`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered: Vec<ApprovalAnswer>,
    /// How many events of each type it stands for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<EventType, u64>,
}

/// What one node said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSnapshot {
    /// The node.
    pub node_id: NodeName,
    /// The last thing that became of a visit: `node_start`, `node_complete`, `node_retry` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// Its messages, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<MessageSnapshot>,
    /// Its newest progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// What became of a visit of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// The event that told it.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// Which visit and try.
    #[serde(flatten)]
    pub place: Place,
}

/// Which try of which visit of a node, and for which item.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place {
    /// Which pass through the node, from 1.
    pub visit: u32,
    /// Which try of that pass, from 1.
    pub attempt: u32,
    /// Which item, from 0, if the node runs once for each of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

/// A try of a node that was not the last one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The node.
    pub node_id: NodeName,
    /// Which try.
    #[serde(flatten)]
    pub place: Place,
}

/// The tokens of a message, joined. A message whose tokens are of several kinds or roles is one for each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MessageSnapshot {
    /// Which answer of a model; left out if the tokens did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Which try said it.
    #[serde(flatten)]
    pub place: Place,
    /// Who speaks, if the tokens said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it belongs to, if the tokens said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The text, in order.
    pub content: String,
    /// The index of the first token joined here. Above 0, the reader has what lies before it, or a filter dropped that.
    pub index: u64,
    /// How many tokens are joined here.
    pub count: u64,
    /// How many a filter of the node dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub filtered: u64,
    /// `format = "json"`: the newest value so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// `format = "json"`: whether the whole answer was one complete JSON value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
}

/// Makes snapshots: takes entries one after the other and gives what they said in one piece.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Fold {
    /// The first and the last entry it stands for.
    range: Option<(Seq, Seq)>,
    taken: u64,
    nodes: Vec<Said>,
    /// The attempts that are under way, and since when.
    under_way: Vec<(NodeName, Place, Seq)>,
    voided: Vec<Attempt>,
    values: Option<(Value, usize)>,
    waiting: Vec<Approval>,
    answered: Vec<ApprovalAnswer>,
    events: BTreeMap<EventType, u64>,
    bytes: usize,
}

/// What a node said, and when each of its messages began.
#[derive(Clone, PartialEq, Debug)]
struct Said {
    snapshot: NodeSnapshot,
    begun: Vec<Seq>,
}

impl Said {
    /// Lets the messages go that `keeps` does not hold of.
    fn retain(&mut self, keeps: impl Fn(&MessageSnapshot, Seq) -> bool) {
        let kept =
            self.snapshot.messages.iter().zip(&self.begun).map(|(message, begun)| keeps(message, *begun));
        let kept: Vec<bool> = kept.collect();
        let mut of_messages = kept.iter();
        self.snapshot.messages.retain(|_| of_messages.next() == Some(&true));
        let mut of_begun = kept.iter();
        self.begun.retain(|_| of_begun.next() == Some(&true));
    }
}

impl Fold {
    /// The last entry before those that it stands for; `None` while there are none.
    pub fn before(&self) -> Option<Seq> {
        let (first, _) = self.range?;
        Seq::try_from(first.get().saturating_sub(1)).ok()
    }

    /// About how many bytes the snapshot has as JSON.
    pub fn bytes(&self) -> usize {
        self.bytes + self.values.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    /// Passes over an entry that the reader did not ask for.
    pub fn pass(&mut self, seq: Seq) {
        let first = self.range.map_or(seq, |(first, _)| first);
        self.range = Some((first, seq));
    }

    /// Takes the next entry. What a terminal status says is not for a snapshot, so it must not be one.
    pub fn add(&mut self, entry: &Entry) {
        self.pass(entry.seq());
        self.taken += 1;
        let event = entry.event();
        match event.class() {
            Class::Token => {
                if let (Some(node), Ok(Some(token))) = (event.node(), event.as_token()) {
                    self.say(node, token, entry.seq());
                }
            }
            Class::Progress => {
                if let (Some(node), Ok(Some(progress))) = (event.node(), event.as_progress()) {
                    self.node(node).snapshot.progress = Some(progress);
                }
            }
            Class::Event => {
                let data = event.as_data().ok().flatten().unwrap_or_default();
                self.happen(event.event_type(), event.node(), data, entry);
            }
            Class::Status | Class::Data => {}
        }
    }

    /// What was taken, as one frame; `None` if nothing was but what was passed over.
    pub fn finish(
        self,
        log: &LogIdentity,
        subscription: Option<SubscriptionName>,
        state: SubscriptionState,
    ) -> Option<Snapshot> {
        let (from, to) = self.range.filter(|_| self.taken > 0)?;
        Some(Snapshot {
            execution_id: log.execution()?.clone(),
            subscription,
            from,
            to,
            position: log.position(to),
            state,
            nodes: self.nodes.into_iter().map(|said| said.snapshot).collect(),
            voided: self.voided,
            values: self.values.map(|(values, _)| values),
            waiting: self.waiting,
            answered: self.answered,
            events: self.events,
        })
    }

    fn node(&mut self, node: &NodeName) -> &mut Said {
        let known = self.nodes.iter().position(|known| known.snapshot.node_id == *node);
        let index = known.unwrap_or_else(|| {
            self.bytes += ITEM_BYTES;
            let node_id = node.clone();
            let snapshot = NodeSnapshot { node_id, standing: None, messages: Vec::new(), progress: None };
            self.nodes.push(Said { snapshot, begun: Vec::new() });
            self.nodes.len() - 1
        });
        self.nodes.get_mut(index).expect("it was found or has just been added")
    }

    fn say(&mut self, node: &NodeName, token: Token, seq: Seq) {
        let place = Place { visit: token.visit, attempt: token.attempt, item: token.item };
        let mut bytes = token.content.len() + token.value.as_ref().map_or(0, weight);
        let mut replaced = 0;
        let is_same = |known: &&mut MessageSnapshot| {
            (known.message, known.place) == (token.message, place)
                && (&known.role, &known.kind) == (&token.role, &token.kind)
        };
        let said = self.node(node);
        match said.snapshot.messages.iter_mut().rfind(is_same) {
            Some(known) => {
                known.content.push_str(&token.content);
                known.count += u64::from(token.count);
                known.filtered += token.filtered;
                if token.value.is_some() {
                    replaced = known.value.as_ref().map_or(0, weight);
                    known.value = token.value;
                }
                known.complete = token.complete.or(known.complete);
            }
            None => {
                bytes += ITEM_BYTES;
                said.begun.push(seq);
                said.snapshot.messages.push(MessageSnapshot {
                    message: token.message,
                    place,
                    role: token.role,
                    kind: token.kind,
                    content: token.content,
                    index: token.index,
                    count: token.count.into(),
                    filtered: token.filtered,
                    value: token.value,
                    complete: token.complete,
                });
            }
        }
        self.bytes = (self.bytes + bytes).saturating_sub(replaced);
    }

    fn happen(&mut self, event_type: &EventType, node: Option<&NodeName>, data: Value, entry: &Entry) {
        let bytes = entry.event().payload().len();
        match self.events.get_mut(event_type) {
            Some(count) => *count += 1,
            None => {
                self.bytes += ITEM_BYTES;
                self.events.insert(event_type.clone(), 1);
            }
        }
        match event_type {
            event_type if *event_type == EventType::VALUES => self.values = Some((data, bytes)),
            event_type if *event_type == EventType::APPROVAL => {
                if let Ok(approval) = serde_json::from_value::<Approval>(data) {
                    self.bytes += bytes;
                    self.waiting.push(approval);
                }
            }
            event_type if *event_type == EventType::APPROVAL_ANSWER => {
                let Ok(answer) = serde_json::from_value::<ApprovalAnswer>(data) else { return };
                let before = self.waiting.len();
                self.waiting.retain(|approval| approval.ask != answer.ask);
                if self.waiting.len() == before {
                    self.bytes += bytes;
                    self.answered.push(answer);
                }
            }
            event_type if BECOMES.contains(event_type) => {
                let (Some(node), Ok(place)) = (node, serde_json::from_value::<Place>(data)) else { return };
                self.become_of(node, event_type, place, entry.seq());
            }
            _ => {}
        }
    }

    fn become_of(&mut self, node: &NodeName, event_type: &EventType, place: Place, seq: Seq) {
        let is_it = |(known, other, _): &(NodeName, Place, Seq)| known == node && *other == place;
        let since = self.under_way.iter().find(|under_way| is_it(under_way)).map(|(_, _, since)| *since);
        self.under_way.retain(|under_way| !is_it(under_way));
        if *event_type == EventType::NODE_START {
            self.under_way.push((node.clone(), place, seq));
        }
        if *event_type == EventType::NODE_RETRY {
            self.bytes += ITEM_BYTES;
            self.node(node).retain(|message, _| message.place != place);
            // What the nodes of its subgraph said meanwhile is void with it; all of it, if it began before this fold.
            let inner = format!("{node}/");
            let since = since.unwrap_or_default();
            for said in
                self.nodes.iter_mut().filter(|said| said.snapshot.node_id.as_str().starts_with(&inner))
            {
                said.retain(|_, begun| begun < since);
            }
            self.voided.push(Attempt { node_id: node.clone(), place });
        }
        self.node(node).snapshot.standing = Some(Standing { event_type: event_type.clone(), place });
    }
}

/// About how many bytes a value has as JSON. What was parsed is nested no deeper than the parser allows.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| weight(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| name.len() + 4 + weight(value)).sum::<usize>()
        }
    }
}

/// The events that tell what became of a visit.
const BECOMES: [EventType; 5] = [
    EventType::NODE_START,
    EventType::NODE_COMPLETE,
    EventType::NODE_ERROR,
    EventType::NODE_RETRY,
    EventType::NODE_CANCELLED,
];

fn is_zero(number: &u64) -> bool {
    *number == 0
}

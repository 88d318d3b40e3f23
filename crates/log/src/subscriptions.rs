//! Named subscriptions: what each has acknowledged, across reconnects and restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use streamnest_core::{AttributeChange, Attributes, Seq, Timestamp};

/// What the attribute of a subscription begins with; its name follows.
const PREFIX: &str = "subscription/";

/// Who acknowledges under the name of a subscription.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Acknowledger {
    /// Nobody is asked who they are: every name is anybody's.
    #[default]
    Anyone,
    /// A user. A name that is new is its own from then on, and takes of its share; one of somebody else is not for it.
    User {
        /// What tells it from everybody else.
        key: String,
        /// Whether it may use names of others all the same.
        uses_others: bool,
    },
}

impl Acknowledger {
    /// Whose a new name is.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::Anyone => None,
            Self::User { key, .. } => Some(key),
        }
    }
}

/// The named subscriptions of one log.
///
/// Each is an attribute of the log: the acknowledged sequence, when that was, in microseconds since 1970, and who named it, if that
/// is known, with a space between. At most one change of them is under way at a time, so that a client that acknowledges every entry
/// costs one small write for each sync and not for each entry.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    named: BTreeMap<String, Named>,
    /// Names whose newest position is not on its way to the store.
    owed: BTreeSet<String>,
    /// Which change of attributes is under way.
    under_way: Option<u64>,
}

#[derive(Debug)]
struct Named {
    acknowledged: Seq,
    used: Timestamp,
    owner: Option<Box<str>>,
}

impl Named {
    /// Reads an attribute. One without a time counts as used now.
    fn read(value: &[u8], now: Timestamp) -> Option<Self> {
        let mut parts = std::str::from_utf8(value).ok()?.splitn(3, ' ');
        let acknowledged = Seq::try_from(parts.next()?.parse::<u64>().ok()?).ok()?;
        let used = parts.next().and_then(|micros| micros.parse().ok()).map_or(now, Timestamp::from_micros);
        Some(Self { acknowledged, used, owner: parts.next().map(Into::into) })
    }

    fn to_value(&self) -> String {
        let Self { acknowledged, used, owner } = self;
        match owner {
            Some(owner) => format!("{acknowledged} {} {owner}", used.as_micros()),
            None => format!("{acknowledged} {}", used.as_micros()),
        }
    }
}

impl Subscriptions {
    /// Those of a log that was opened with these attributes.
    pub(crate) fn opened(attributes: &Attributes, now: Timestamp) -> Self {
        let read = |(key, value): (&streamnest_core::AttributeKey, &bytes::Bytes)| {
            Some((key.strip_prefix(PREFIX)?.to_owned(), Named::read(value, now)?))
        };
        Self { named: attributes.iter().filter_map(read).collect(), ..Self::default() }
    }

    /// The attribute of the subscription `name`.
    pub(crate) fn key(name: &str) -> String {
        [PREFIX, name].concat()
    }

    /// What such an attribute says was acknowledged.
    pub(crate) fn value(value: &[u8]) -> Option<Seq> {
        Named::read(value, Timestamp::from_micros(0)).map(|named| named.acknowledged)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Seq> {
        self.named.get(name).map(|named| named.acknowledged)
    }

    /// Who named it, if that is known.
    pub(crate) fn owner(&self, name: &str) -> Option<&str> {
        self.named.get(name)?.owner.as_deref()
    }

    /// Whether `by` may use `name`: one that is new, its own, or nobody's.
    pub(crate) fn may_use(&self, name: &str, by: &Acknowledger) -> bool {
        match by {
            Acknowledger::Anyone | Acknowledger::User { uses_others: true, .. } => true,
            Acknowledger::User { key, .. } => self.owner(name).is_none_or(|owner| owner == key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// How many `owner` has named.
    pub(crate) fn owned(&self, owner: &str) -> usize {
        self.named.values().filter(|named| named.owner.as_deref() == Some(owner)).count()
    }

    /// The names that nobody has used for `ttl`.
    pub(crate) fn unused(&self, now: Timestamp, ttl: Duration) -> Vec<String> {
        let is_unused = |named: &Named| now.since(named.used) >= ttl;
        self.named.iter().filter(|(_, named)| is_unused(named)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Seq)> {
        self.named.iter().map(|(name, named)| (name.as_str(), named.acknowledged))
    }

    /// Moves `name` forward to `seq`; an older position changes nothing but when it was used. A new name is `owner`'s.
    pub(crate) fn acknowledge(&mut self, name: &str, seq: Seq, owner: Option<&str>, now: Timestamp) {
        match self.named.get_mut(name) {
            Some(known) => {
                known.used = now;
                if known.acknowledged >= seq {
                    return;
                }
                known.acknowledged = seq;
            }
            None => {
                let named = Named { acknowledged: seq, used: now, owner: owner.map(Into::into) };
                self.named.insert(name.into(), named);
            }
        }
        self.owed.insert(name.into());
    }

    /// What is to be written now; nothing while a change is under way, of which `settled` are durable.
    pub(crate) fn due(&mut self, settled: u64) -> Vec<AttributeChange> {
        if self.under_way.is_some_and(|change| settled < change) {
            return Vec::new();
        }
        self.under_way = None;
        self.owed.iter().filter_map(|name| self.change(name)).collect()
    }

    /// What is to be written of `name`.
    pub(crate) fn change(&self, name: &str) -> Option<AttributeChange> {
        AttributeChange::set(&Self::key(name), self.named.get(name)?.to_value()).ok()
    }

    /// Forgets `name`.
    pub(crate) fn forget(&mut self, name: &str) {
        self.named.remove(name);
        self.owed.remove(name);
    }

    /// `changes` of what was owed are the change `number` of attributes.
    pub(crate) fn sent(&mut self, changes: &[AttributeChange], number: u64) {
        for name in changes.iter().filter_map(|change| change.key.strip_prefix(PREFIX)) {
            self.owed.remove(name);
        }
        self.under_way = Some(number);
    }

    /// Whether the newest position of `name` is not on its way to the store.
    pub(crate) fn owes(&self, name: &str) -> bool {
        self.owed.contains(name)
    }
}

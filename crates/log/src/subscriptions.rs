//! Named subscriptions: what each has acknowledged, across reconnects and restarts.

use std::collections::{BTreeMap, BTreeSet};

use streamnest_core::{AttributeChange, Attributes, Seq};

/// What the attribute of a subscription begins with; its name follows.
const PREFIX: &str = "subscription/";

/// The named subscriptions of one log.
///
/// Each is an attribute of the log. At most one change of them is under way at a time, so that a client that acknowledges every
/// entry costs one small write for each sync and not for each entry.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    acknowledged: BTreeMap<String, Seq>,
    /// Names whose newest position is not on its way to the store.
    owed: BTreeSet<String>,
    /// Which change of attributes is under way.
    under_way: Option<u64>,
}

impl Subscriptions {
    /// Those of a log that was opened with these attributes.
    pub(crate) fn opened(attributes: &Attributes) -> Self {
        let read = |(key, value): (&streamnest_core::AttributeKey, &bytes::Bytes)| {
            Some((key.strip_prefix(PREFIX)?.to_owned(), Self::value(value)?))
        };
        Self { acknowledged: attributes.iter().filter_map(read).collect(), ..Self::default() }
    }

    /// The attribute of the subscription `name`.
    pub(crate) fn key(name: &str) -> String {
        [PREFIX, name].concat()
    }

    /// What such an attribute says was acknowledged.
    pub(crate) fn value(value: &[u8]) -> Option<Seq> {
        let seq = std::str::from_utf8(value).ok()?.parse::<u64>().ok()?;
        Seq::try_from(seq).ok()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Seq> {
        self.acknowledged.get(name).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.acknowledged.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Seq)> {
        self.acknowledged.iter().map(|(name, seq)| (name.as_str(), *seq))
    }

    /// Moves `name` forward to `seq`; an older position changes nothing.
    pub(crate) fn acknowledge(&mut self, name: &str, seq: Seq) {
        match self.acknowledged.get_mut(name) {
            Some(known) if *known >= seq => return,
            Some(known) => *known = seq,
            None => {
                self.acknowledged.insert(name.into(), seq);
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
        let seq = self.acknowledged.get(name)?;
        AttributeChange::set(&Self::key(name), seq.to_string()).ok()
    }

    /// Forgets `name`, which the store has no room for.
    pub(crate) fn forget(&mut self, name: &str) {
        self.acknowledged.remove(name);
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

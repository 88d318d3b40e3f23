//! What the bodies of records say.

use bytes::Bytes;
use streamnest_core::{
    AttributeChange, AttributeKey, Attributes, Class, Delivery, Entry, Event, EventType, NodeName, Priority,
    Seq, Status, Timestamp,
};

use crate::options::Durability;

/// Reads little-endian numbers and counted bytes; `None` wherever there is too little.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Text with its length in two bytes before it.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.u16()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }
}

pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    // Names and keys are shorter than that by far; a longer one would not be read back, and not be served.
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// What a record is about: the first byte of its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A batch begins: how much before it was durable when it was written, and the mode.
    Batch = 1,
    /// The store was closed in order.
    Close = 2,
    /// A log begins; or all there is to know of one, beside its entries.
    State = 3,
    /// Entries and changes of attributes.
    Append = 4,
    /// Entries that an older segment held.
    Copy = 5,
    /// Nothing follows.
    Seal = 6,
    /// Entries up to some point are forgotten.
    Trim = 7,
    /// The log is forgotten.
    Delete = 8,
    /// Another incarnation.
    Epoch = 9,
    /// Records stood here that were damaged.
    Hole = 10,
}

/// Every kind.
const KINDS: [Kind; 10] = [
    Kind::Batch,
    Kind::Close,
    Kind::State,
    Kind::Append,
    Kind::Copy,
    Kind::Seal,
    Kind::Trim,
    Kind::Delete,
    Kind::Epoch,
    Kind::Hole,
];

/// All there is to know of a log, beside its entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) epoch: u64,
    pub(crate) term: u64,
    pub(crate) trimmed: u64,
    pub(crate) last: u64,
    pub(crate) sealed: bool,
    pub(crate) status: Option<Status>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) attributes: Attributes,
}

/// The body of a record, read.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    Batch { synced: u64, durability: u8 },
    Close,
    State(Box<State>),
    Append(Entries<'a>),
    Copy(Entries<'a>),
    Seal { term: u64 },
    Trim { up_to: u64 },
    Delete,
    Epoch { epoch: u64 },
    Hole,
}

/// The entries of a record, not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries<'a> {
    pub(crate) term: u64,
    /// The number of the first one.
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) changes: u32,
    rest: Reader<'a>,
}

pub(crate) fn put_batch(synced: u64, durability: Durability, out: &mut Vec<u8>) {
    out.push(Kind::Batch as u8);
    out.extend_from_slice(&synced.to_le_bytes());
    out.push(durability.tag());
}

pub(crate) fn put_close(out: &mut Vec<u8>) {
    out.push(Kind::Close as u8);
}

/// The length of a body that says all of a log of this name and these attributes.
pub(crate) fn state_length<'a>(
    name: &str,
    attributes: impl Iterator<Item = (&'a AttributeKey, &'a Bytes)>,
) -> usize {
    49 + name.len() + attributes.map(|(key, value)| 6 + key.len() + value.len()).sum::<usize>()
}

pub(crate) fn put_state(state: &State, out: &mut Vec<u8>) {
    out.push(Kind::State as u8);
    put_text(&state.name, out);
    for number in [state.epoch, state.term, state.trimmed, state.last] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.push(u8::from(state.sealed));
    out.push(state.status.map_or(0, status_tag));
    out.extend_from_slice(&state.time.map_or(u64::MAX, Timestamp::as_micros).to_le_bytes());
    put_count(state.attributes.len(), out);
    for (key, value) in state.attributes.iter() {
        put_text(key, out);
        put_count(value.len(), out);
        out.extend_from_slice(value);
    }
}

/// Writes entries that follow each other, the first of which is `first`, and changes of attributes.
pub(crate) fn put_entries<'a>(
    kind: Kind,
    term: u64,
    first: u64,
    entries: impl ExactSizeIterator<Item = &'a Entry>,
    changes: &[AttributeChange],
    out: &mut Vec<u8>,
) {
    out.push(kind as u8);
    out.extend_from_slice(&term.to_le_bytes());
    out.extend_from_slice(&first.to_le_bytes());
    put_count(entries.len(), out);
    put_count(changes.len(), out);
    for entry in entries {
        put_entry(entry, out);
    }
    for change in changes {
        put_text(&change.key, out);
        match &change.value {
            Some(value) => {
                out.push(1);
                put_count(value.len(), out);
                out.extend_from_slice(value);
            }
            None => out.push(0),
        }
    }
}

pub(crate) fn put_seal(term: u64, out: &mut Vec<u8>) {
    out.push(Kind::Seal as u8);
    out.extend_from_slice(&term.to_le_bytes());
}

pub(crate) fn put_trim(up_to: u64, out: &mut Vec<u8>) {
    out.push(Kind::Trim as u8);
    out.extend_from_slice(&up_to.to_le_bytes());
}

pub(crate) fn put_delete(out: &mut Vec<u8>) {
    out.push(Kind::Delete as u8);
}

pub(crate) fn put_epoch(epoch: u64, out: &mut Vec<u8>) {
    out.push(Kind::Epoch as u8);
    out.extend_from_slice(&epoch.to_le_bytes());
}

pub(crate) fn put_hole(out: &mut Vec<u8>) {
    out.push(Kind::Hole as u8);
}

/// Set where the type of an event is not just that of its class.
const HAS_TYPE: u8 = 1 << 4;
/// Set where a node said it.
const HAS_NODE: u8 = 1 << 5;

fn put_entry(entry: &Entry, out: &mut Vec<u8>) {
    let event = entry.event();
    out.extend_from_slice(&entry.time().as_micros().to_le_bytes());
    out.push(class_tag(event.class()));
    let has_type = event.event_type().as_str() != event.class().as_str();
    let (delivery, priority) = (delivery_tag(event.delivery()), priority_tag(event.priority()));
    let flags = delivery | priority << 2;
    let flags =
        flags | if has_type { HAS_TYPE } else { 0 } | if event.node().is_some() { HAS_NODE } else { 0 };
    out.push(flags);
    if has_type {
        put_text(event.event_type().as_str(), out);
    }
    if let Some(node) = event.node() {
        put_text(node, out);
    }
    put_count(event.payload().len(), out);
    out.extend_from_slice(event.payload());
}

/// Reads a body. `None` if it is of another format.
pub(crate) fn read(body: &[u8]) -> Option<Body<'_>> {
    let mut reader = Reader::new(body);
    let tag = reader.u8()?;
    let kind = KINDS.into_iter().find(|kind| *kind as u8 == tag)?;
    Some(match kind {
        Kind::Batch => Body::Batch { synced: reader.u64()?, durability: reader.u8()? },
        Kind::Close => Body::Close,
        Kind::State => Body::State(Box::new(read_state(&mut reader)?)),
        Kind::Append => Body::Append(read_entries(reader)?),
        Kind::Copy => Body::Copy(read_entries(reader)?),
        Kind::Seal => Body::Seal { term: reader.u64()? },
        Kind::Trim => Body::Trim { up_to: reader.u64()? },
        Kind::Delete => Body::Delete,
        Kind::Epoch => Body::Epoch { epoch: reader.u64()? },
        Kind::Hole => Body::Hole,
    })
}

/// Reads a body that is about no log but about the segment; `None` if it is another.
pub(crate) fn read_mark(body: &[u8]) -> Option<Body<'_>> {
    let is_mark = |tag: &u8| [Kind::Batch as u8, Kind::Close as u8].contains(tag);
    body.first().filter(|tag| is_mark(tag)).and_then(|_| read(body))
}

pub(crate) fn read_state(reader: &mut Reader<'_>) -> Option<State> {
    let name = reader.text()?.to_owned();
    let [epoch, term, trimmed, last] = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
    let sealed = reader.u8()? != 0;
    let status = match reader.u8()? {
        0 => None,
        tag => Some(STATUSES.into_iter().find(|status| status_tag(*status) == tag)?),
    };
    let time = Some(reader.u64()?).filter(|micros| *micros != u64::MAX).map(Timestamp::from_micros);
    let mut attributes = Attributes::new();
    for _ in 0..reader.u32()? {
        let key = reader.text()?;
        let length = reader.u32()?;
        let value = Bytes::copy_from_slice(reader.take(length as usize)?);
        AttributeChange::set(key, value).ok()?.apply(&mut attributes);
    }
    Some(State { name, epoch, term, trimmed, last, sealed, status, time, attributes })
}

fn read_entries(mut reader: Reader<'_>) -> Option<Entries<'_>> {
    let (term, first) = (reader.u64()?, reader.u64()?);
    Some(Entries { term, first, count: reader.u32()?, changes: reader.u32()?, rest: reader })
}

impl<'a> Entries<'a> {
    /// The last one; the one before the first if there is none.
    pub(crate) const fn last(&self) -> u64 {
        self.first.saturating_add(self.count as u64).saturating_sub(1)
    }

    /// Reads the entries, whose payloads are slices of `shared`, and the changes after them.
    pub(crate) fn read(
        mut self,
        shared: &Bytes,
        decoder: &mut Decoder,
    ) -> Option<(Vec<Entry>, Vec<AttributeChange>)> {
        let mut entries = Vec::with_capacity(self.count.min(4_096) as usize);
        for index in 0..u64::from(self.count) {
            entries.push(decoder.entry(self.first + index, &mut self.rest, shared)?);
        }
        Some((entries, self.read_changes()?))
    }

    /// The payloads of the entries, as they lie there. `None` for one that cannot be read, and what follows it.
    pub(crate) fn payloads(mut self) -> impl Iterator<Item = Option<&'a [u8]>> {
        (0..self.count).map(move |_| EntryHead::read(&mut self.rest).map(|head| head.payload))
    }

    /// What the record says beside its entries: its changes, the newest status, the time of the last entry.
    pub(crate) fn summary(mut self) -> Option<Summary> {
        let (mut status, mut time) = (None, None);
        for _ in 0..self.count {
            let head = EntryHead::read(&mut self.rest)?;
            time = Some(head.time);
            if head.class == Class::Status {
                let event = Event::from_stored(
                    Class::Status,
                    EventType::STATUS,
                    None,
                    Bytes::copy_from_slice(head.payload),
                    Delivery::default(),
                );
                status = event.as_status().ok().flatten().map(|update| update.status).or(status);
            }
        }
        Some(Summary { status, time, changes: self.read_changes()? })
    }

    fn read_changes(&mut self) -> Option<Vec<AttributeChange>> {
        let mut changes = Vec::with_capacity(self.changes.min(4_096) as usize);
        for _ in 0..self.changes {
            let key = self.rest.text()?;
            changes.push(match self.rest.u8()? {
                0 => AttributeChange::remove(key).ok()?,
                _ => {
                    let length = self.rest.u32()?;
                    AttributeChange::set(key, Bytes::copy_from_slice(self.rest.take(length as usize)?))
                        .ok()?
                }
            });
        }
        Some(changes)
    }
}

/// What a record of entries changes in its log.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) status: Option<Status>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) changes: Vec<AttributeChange>,
}

/// The parts of one entry, as they lie there.
struct EntryHead<'a> {
    time: Timestamp,
    class: Class,
    flags: u8,
    event_type: Option<&'a str>,
    node: Option<&'a str>,
    payload: &'a [u8],
}

impl<'a> EntryHead<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let time = Timestamp::from_micros(reader.u64()?);
        let tag = reader.u8()?;
        let class = CLASSES.into_iter().find(|class| class_tag(*class) == tag)?;
        let flags = reader.u8()?;
        let event_type = if flags & HAS_TYPE != 0 { Some(reader.text()?) } else { None };
        let node = if flags & HAS_NODE != 0 { Some(reader.text()?) } else { None };
        let length = reader.u32()?;
        Some(Self { time, class, flags, event_type, node, payload: reader.take(length as usize)? })
    }
}

/// Reads entries; it remembers the last node and type, for neighbours mostly share them.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    node: Option<NodeName>,
    event_type: Option<EventType>,
}

impl Decoder {
    fn entry(&mut self, seq: u64, reader: &mut Reader<'_>, shared: &Bytes) -> Option<Entry> {
        let head = EntryHead::read(reader)?;
        let text = head.event_type.unwrap_or(head.class.as_str());
        let event_type = match self.event_type.take().filter(|known| known.as_str() == text) {
            Some(known) => known,
            None => EventType::new(text).ok()?,
        };
        self.event_type = Some(event_type.clone());
        let node = match head.node {
            None => None,
            Some(text) => {
                let node = match self.node.take().filter(|known| known.as_str() == text) {
                    Some(known) => known,
                    None => NodeName::new(text).ok()?,
                };
                self.node = Some(node.clone());
                Some(node)
            }
        };
        let delivery = DELIVERIES.into_iter().find(|d| delivery_tag(*d) == head.flags & 3)?;
        let priority = PRIORITIES.into_iter().find(|p| priority_tag(*p) == head.flags >> 2 & 3)?;
        // The bytes as they are: a slice of what was read.
        let payload = shared.slice_ref(head.payload);
        let event =
            Event::from_stored(head.class, event_type, node, payload, delivery).with_priority(priority);
        Some(Entry::new(Seq::try_from(seq).ok()?, head.time, event))
    }
}

const CLASSES: [Class; 5] = [Class::Token, Class::Progress, Class::Event, Class::Status, Class::Data];

const fn class_tag(class: Class) -> u8 {
    match class {
        Class::Token => 1,
        Class::Progress => 2,
        Class::Event => 3,
        Class::Status => 4,
        Class::Data => 5,
    }
}

const DELIVERIES: [Delivery; 3] = [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::ExactlyOnce];

const fn delivery_tag(delivery: Delivery) -> u8 {
    match delivery {
        Delivery::AtMostOnce => 0,
        Delivery::AtLeastOnce => 1,
        Delivery::ExactlyOnce => 2,
    }
}

const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Medium, Priority::High];

const fn priority_tag(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
    }
}

const STATUSES: [Status; 5] =
    [Status::Running, Status::Paused, Status::Completed, Status::Failed, Status::Cancelled];

const fn status_tag(status: Status) -> u8 {
    match status {
        Status::Running => 1,
        Status::Paused => 2,
        Status::Completed => 3,
        Status::Failed => 4,
        Status::Cancelled => 5,
    }
}

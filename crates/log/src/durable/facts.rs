//! What is true of a stream from the first: its attributes.

use std::{str::FromStr, time::Duration};

use bytes::Bytes;
use streamnest_core::{
    AttributeChange, Attributes, Event, Lifetime, LogName, Position, Producer, Seq, Timestamp,
};

/// What a stream holds, how long it lives, and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The content type, as its maker wrote it.
    pub content_type: String,
    /// How long it lives; `None` is for good.
    pub lifetime: Option<Lifetime>,
    /// When it was made, which also tells it from another that had its name before.
    pub created: Timestamp,
    /// What it was forked from.
    pub fork: Option<Fork>,
    /// Who made it; `None` where nobody is asked who they are.
    pub owner: Option<String>,
}

/// Where a fork comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fork {
    /// The stream that it was forked from.
    pub source: LogName,
    /// The offset at which, as it was asked for or as the source's tail was.
    pub at: Position,
    /// How far past that, as it was asked for.
    pub sub_offset: u64,
}

/// What a stream is to be.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// The content type.
    pub content_type: String,
    /// How long it lives; `None` is for good, or for a fork as long as its source.
    pub lifetime: Option<Lifetime>,
    /// What it begins with, after what it inherits.
    pub events: Vec<Event>,
    /// Whether nothing follows that.
    pub closed: bool,
    /// What it is forked from.
    pub fork: Option<ForkAt>,
    /// Who makes it, against whose [share](super::StreamOptions::max_streams_per_user) it counts; `None` against nobody's.
    pub owner: Option<String>,
}

/// Where a new stream is forked from another.
#[derive(Clone, Debug)]
pub struct ForkAt {
    /// The other stream.
    pub source: LogName,
    /// After what; `None` is the end.
    pub at: Option<Position>,
    /// How far past that.
    pub sub_offset: u64,
    /// Where the first so many units of an append end, in bytes; `None` if it has fewer.
    pub cut: fn(&[u8], u64) -> Option<usize>,
}

const CONTENT_TYPE: &str = "content-type";
const CREATED: &str = "created";
const TTL: &str = "ttl";
const UNTIL: &str = "until";
const OWNER: &str = "owner";
const FORK_SOURCE: &str = "fork/source";
const FORK_AT: &str = "fork/at";
const FORK_SUB_OFFSET: &str = "fork/sub-offset";

/// Set with what a stream begins with: one without it was never told to anybody.
pub(super) const COMPLETE: &str = "complete";
/// Set with the last append. Its value is the request of the idempotent producer that closed the stream, if one did.
pub(super) const CLOSED: &str = "closed";
/// Set when a stream is deleted that has forks.
pub(super) const DELETED: &str = "deleted";
/// How many bytes were appended so far.
pub(super) const BYTES: &str = "bytes";
/// The last `Stream-Seq`.
pub(super) const SEQ: &str = "seq";
/// Before the id of each producer.
pub(super) const PRODUCER: &str = "producer/";

/// Sets an attribute whose key is one of ours, and so short enough.
pub(super) fn set(key: &str, value: impl Into<Bytes>) -> AttributeChange {
    AttributeChange::set(key, value).expect("keys of streams are within the bounds")
}

/// Says that a stream is closed.
pub(super) fn closed(by: impl Into<Bytes>) -> AttributeChange {
    set(CLOSED, by).ending()
}

/// Says that a stream is deleted.
pub(super) fn deleted() -> AttributeChange {
    set(DELETED, "").ending()
}

impl Facts {
    /// The attributes that say so.
    pub(super) fn to_changes(&self) -> Vec<AttributeChange> {
        let mut changes = vec![
            set(CONTENT_TYPE, self.content_type.clone()),
            set(CREATED, self.created.as_micros().to_string()),
        ];
        match self.lifetime {
            Some(Lifetime::Sliding(time)) => changes.push(set(TTL, time.as_secs().to_string())),
            Some(Lifetime::Until(time)) => changes.push(set(UNTIL, time.as_micros().to_string())),
            None => {}
        }
        if let Some(owner) = &self.owner {
            changes.push(set(OWNER, owner.clone()));
        }
        if let Some(fork) = &self.fork {
            changes.push(set(FORK_SOURCE, fork.source.to_string()));
            changes.push(set(FORK_AT, fork.at.to_string()));
            changes.push(set(FORK_SUB_OFFSET, fork.sub_offset.to_string()));
        }
        changes
    }

    /// Reads the attributes back; `None` if they are none of a stream.
    pub(super) fn from_attributes(attributes: &Attributes) -> Option<Self> {
        let text = |key: &str| attributes.get(key).and_then(|value| std::str::from_utf8(value).ok());
        let lifetime = match (number(text(TTL)), number(text(UNTIL))) {
            (Some(seconds), _) => Some(Lifetime::Sliding(Duration::from_secs(seconds))),
            (None, Some(micros)) => Some(Lifetime::Until(Timestamp::from_micros(micros))),
            (None, None) => None,
        };
        let fork = match text(FORK_SOURCE) {
            Some(source) => Some(Fork {
                source: LogName::new(source).ok()?,
                at: text(FORK_AT)?.parse().ok()?,
                sub_offset: number(text(FORK_SUB_OFFSET))?,
            }),
            None => None,
        };
        let content_type = text(CONTENT_TYPE)?.to_owned();
        let (created, owner) = (Timestamp::from_micros(number(text(CREATED))?), text(OWNER).map(Into::into));
        Some(Self { content_type, lifetime, created, fork, owner })
    }

    /// How many entries lie before its own.
    pub(super) fn inherited(&self) -> Seq {
        self.fork.as_ref().map_or(Seq::BEFORE_FIRST, |fork| fork.at.seq())
    }

    /// Whether `creation` asks for this very stream. A fork that leaves open where, asks for the same wherever that was.
    pub(super) fn matches(&self, creation: &Creation) -> bool {
        let same_fork = match (&self.fork, &creation.fork) {
            (None, None) => true,
            (Some(is), Some(asked)) => {
                is.source == asked.source
                    && asked.at.is_none_or(|at| at == is.at)
                    && is.sub_offset == asked.sub_offset
            }
            _ => false,
        };
        // A fork inherits what is not asked for.
        let inherits = self.fork.is_some() && creation.lifetime.is_none();
        let any_type = self.fork.is_some() && creation.content_type.is_empty();
        same_fork
            && (inherits || self.lifetime == creation.lifetime)
            && (any_type || same_media_type(&self.content_type, &creation.content_type))
    }
}

/// When a stream was made whose log has these attributes; `None` if it is the log of none.
pub fn made_at(attributes: &Attributes) -> Option<Timestamp> {
    Facts::from_attributes(attributes).map(|facts| facts.created)
}

/// How many bytes were appended to a stream whose log has these attributes, if that says so.
pub(super) fn bytes(attributes: &Attributes) -> Option<u64> {
    number(attributes.get(BYTES).and_then(|value| std::str::from_utf8(value).ok()))
}

/// Whether two content types are the same but for their parameters.
pub(super) fn same_media_type(one: &str, other: &str) -> bool {
    let media = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media(one) == media(other)
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// Writes the request by which a producer closed a stream.
pub(super) fn closing(producer: Option<&Producer>) -> String {
    producer.map_or(String::new(), |producer| format!("{} {} {}", producer.epoch, producer.seq, producer.id))
}

#[cfg(test)]
mod tests {
    use streamnest_core::Epoch;

    use super::*;

    #[test]
    fn facts_read_back_from_the_attributes_that_they_become() {
        let fork = Fork {
            source: LogName::new("streams/a").unwrap(),
            at: Position::new(Epoch::new(7), Seq::FIRST),
            sub_offset: 3,
        };
        let until = Some(Lifetime::Until(Timestamp::from_micros(5)));
        let sliding = Some(Lifetime::Sliding(Duration::from_secs(60)));
        let ada = Some("acme/ada".to_owned());
        for (lifetime, fork, owner) in [(None, None, None), (sliding, None, ada), (until, Some(fork), None)] {
            let created = Timestamp::from_micros(42);
            let facts = Facts { content_type: "text/plain".into(), lifetime, created, fork, owner };
            let mut attributes = Attributes::new();
            facts.to_changes().iter().for_each(|change| change.apply(&mut attributes));
            assert_eq!(Facts::from_attributes(&attributes), Some(facts));
        }
        assert_eq!(Facts::from_attributes(&Attributes::new()), None);
    }
}

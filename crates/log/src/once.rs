//! Events that are said once: each has a key, which is an attribute of the log, in one piece with the event. So a key is there
//! if and only if its event is, also after a crash.

use std::collections::HashSet;

use streamnest_core::{AttributeChange, Error, Event};

use crate::Writer;

/// Before each key among the attributes.
const PREFIX: &str = "once/";

/// The longest key, in bytes: what is left of the key of an attribute.
pub const MAX_ONCE_KEY: usize = 1_019;

/// The attribute that says that the event of `key` was said.
///
/// # Errors
/// [`Error::AttributeKeyLength`] if `key` is longer than [`MAX_ONCE_KEY`].
pub fn once_attribute(key: &str) -> Result<AttributeChange, Error> {
    AttributeChange::set(&[PREFIX, key].concat(), "")
}

/// Lets those of `events` go that were said before, in this process or an earlier one; `keys` names the attributes of some, by their
/// place. Adds the attributes of those that stay to `changes`. Only who has the writer's turn may ask.
pub(crate) fn admit(
    writer: &Writer,
    events: Vec<Event>,
    keys: Vec<(usize, AttributeChange)>,
    changes: &mut Vec<AttributeChange>,
) -> Vec<Event> {
    if keys.is_empty() {
        return events;
    }
    let (mut said, mut new) = (HashSet::new(), HashSet::new());
    for (place, change) in keys {
        match writer.attribute(&change.key).is_some() || !new.insert(change.key.clone()) {
            true => drop(said.insert(place)),
            false => changes.push(change),
        }
    }
    let kept = events.into_iter().enumerate().filter(|(place, _)| !said.contains(place));
    kept.map(|(_, event)| event).collect()
}

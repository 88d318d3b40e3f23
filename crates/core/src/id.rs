//! The names of nodes, workflows and the messages within an execution.

use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest [`NodeName`] part and [`WorkflowName`], in characters.
const NAME_MAX: usize = 64;

/// Writes one identifier type over a shared string; `$check` decides what is legal.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it an identifier.
            ///
            /// # Errors
            /// Names what is wrong with `text` and what is legal.
            pub fn new(text: &str) -> Result<Self, Error> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                String::from(&*name.0)
            }
        }
    };
}

identifier! {
    /// The name of a node in its workflow: 1 to 64 characters of `a–z A–Z 0–9 - _`.
    ///
    /// The nodes of a subgraph are named `outer/inner`; each part obeys the same rule.
    NodeName, check_node_name
}

identifier! {
    /// The name of a workflow: 1 to 64 characters of `a–z A–Z 0–9 - _`.
    WorkflowName, check_workflow_name
}

fn check_node_name(text: &str) -> Result<(), Error> {
    text.split('/').try_for_each(|part| check_name("node", part))
}

fn check_workflow_name(text: &str) -> Result<(), Error> {
    check_name("workflow", text)
}

fn check_name(what: &'static str, text: &str) -> Result<(), Error> {
    let length = text.chars().count();
    if length == 0 || length > NAME_MAX {
        return Err(Error::NameLength { what, length, limit: NAME_MAX });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(character) => Err(Error::NameCharacter { what, character }),
        None => Ok(()),
    }
}

/// One answer of one model call within an execution; `m1`, `m2`, … on the wire, in the order the calls began.
///
/// Two calls that run at once in one node have two message ids, so that their texts never mix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId(u32);

impl MessageId {
    /// The `number`-th message of an execution, from 1.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number, from 1.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl FromStr for MessageId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let number = text.strip_prefix('m').and_then(|digits| digits.parse().ok());
        number.map(Self).ok_or_else(|| Error::MessageId { text: text.into() })
    }
}

impl Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subgraph_nodes_are_checked_part_by_part() {
        assert!(NodeName::new("outer/inner").is_ok());
        assert!(NodeName::new("outer//inner").is_err());
        assert!(NodeName::new("has space").is_err());
        assert!(WorkflowName::new("outer/inner").is_err());
    }

    #[test]
    fn message_ids_read_back_what_they_write() {
        let id = MessageId::new(12);
        assert_eq!(id.to_string(), "m12");
        assert_eq!("m12".parse::<MessageId>().unwrap(), id);
        assert!("12".parse::<MessageId>().is_err());
    }
}

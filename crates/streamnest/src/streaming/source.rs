//! Where an option was given, and by what name.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use streamnest_runtime::{TokenStreamingError, ViewError};
use toml::de::{DeTable, DeValue};

use crate::Error;

/// An option by the name by which it was given: its key in a file and where that stands, or its flag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionName {
    name: String,
    place: Option<(PathBuf, usize)>,
}

impl OptionName {
    /// One that stands in no file.
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), place: None }
    }

    /// The key or the flag.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The file in which it was given, and the line there, from 1.
    pub fn place(&self) -> Option<(&Path, usize)> {
        self.place.as_ref().map(|(path, line)| (path.as_path(), *line))
    }
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        match &self.place {
            Some((path, line)) => write!(f, " ({}, line {line})", path.display()),
            None => Ok(()),
        }
    }
}

/// A file of options: what it gives, and where.
#[derive(Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// The line of each key and table.
    lines: BTreeMap<String, usize>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl Source {
    /// The file at `path`, which holds this text.
    pub(super) fn new(path: &Path, text: &str) -> Result<Self, toml::de::Error> {
        let mut lines = BTreeMap::new();
        note(DeTable::parse(text)?.get_ref(), "", text, &mut lines);
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Whether it gives this key.
    pub(super) fn gives(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }

    /// The first key that it gives in a table, besides `but`.
    pub(super) fn first_in(&self, table: &str, but: &str) -> Option<OptionName> {
        let within =
            |key: &str| key.strip_prefix(table)?.strip_prefix('.').filter(|rest| *rest != but).map(drop);
        let first =
            self.lines.iter().filter(|(key, _)| within(key).is_some()).min_by_key(|(_, line)| **line)?;
        Some(self.place(first.0, *first.1))
    }

    /// The name of the option with this key, or of the table that it belongs in, if the file has one of them.
    pub(super) fn name(&self, key: &str) -> Option<OptionName> {
        let mut beneath = Some(key);
        while let Some(name) = beneath {
            if let Some(line) = self.lines.get(name) {
                return Some(self.place(key, *line));
            }
            beneath = name.rsplit_once('.').map(|(table, _)| table);
        }
        None
    }

    fn place(&self, key: &str, line: usize) -> OptionName {
        OptionName { name: key.into(), place: Some((self.path.clone(), line)) }
    }
}

/// Notes the lines of the keys of a table.
fn note(table: &DeTable<'_>, prefix: &str, text: &str, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        let before = text.get(..key.span().start).unwrap_or_default();
        lines.insert(name.clone(), 1 + before.bytes().filter(|byte| *byte == b'\n').count());
        if let DeValue::Table(inner) = value.get_ref() {
            note(inner, &format!("{name}."), text, lines);
        }
    }
}

/// Options of the gateway that a file has under another key.
const ELSEWHERE: &[(&str, &str)] = &[
    ("websocket", "websocket.enabled"),
    ("heartbeats", "gateway.heartbeat.enabled"),
    ("heartbeat_interval", "gateway.heartbeat.interval"),
    ("pong_timeout", "gateway.heartbeat.timeout"),
    ("allowed_origins", "gateway.cors.origin"),
    ("allow_credentials", "gateway.cors.credentials"),
    ("authentication.key_roots", "gateway.authentication.jwks_ca_file"),
];
/// The tables of the parts beneath, by what their errors call them.
const TABLES: &[(&str, &str)] = &[
    ("EngineOptions::", "engine."),
    ("LogOptions::", "logs."),
    ("TokenStreamingOptions::", "token_streams."),
    ("EventStreamProcessorOptions::", "event_processing."),
];

/// Names the option that an error is about as `name` does, by its key in a file. `keys` are the keys of those options that name
/// a key for tokens, in the order in which they were read.
pub(crate) fn named(error: Error, keys: &[&str], name: impl Fn(&str) -> Option<OptionName>) -> Error {
    let refused = refused(&error, keys);
    let named = refused.and_then(|(key, reason)| Some((name(&key)?, reason)));
    named.map_or(error, |(option, reason)| Error::OptionRefused { option, reason })
}

/// The option that an error is about, by its key in a file, and what is wrong with it.
fn refused(error: &Error, keys: &[&str]) -> Option<(String, String)> {
    use streamnest_gateway::Error as Gateway;
    use streamnest_log::Error as Log;
    use streamnest_log_disk::Error as Disk;
    use streamnest_runtime::Error as Runtime;

    let zero = || "is zero, which leaves no room; leave it out for its default".to_owned();
    let of_gateway = |option: &str| {
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == option);
        elsewhere.map_or_else(|| format!("gateway.{option}"), |(_, key)| (*key).to_owned())
    };
    let beneath = |option: &str| {
        let of = |(part, table): &(&str, &str)| Some(format!("{table}{}", option.strip_prefix(part)?));
        let key = TABLES.iter().find_map(of)?;
        Some(if key == "engine.default_buffer_size" { "default_buffer_size".into() } else { key })
    };
    Some(match error {
        Error::Gateway(Gateway::InvalidOption { option, reason }) => (of_gateway(option), reason.clone()),
        Error::Gateway(Gateway::InvalidKey { index, reason }) => {
            ((*keys.get(*index)?).to_owned(), reason.clone())
        }
        Error::Log(Log::InvalidOption { option }) => (format!("logs.{option}"), zero()),
        Error::Disk(Disk::InvalidOption { option, legal }) => {
            (format!("disk.{option}"), format!("is out of range; legal is {legal}"))
        }
        Error::Runtime(error) => match &**error {
            Runtime::TooSmall { option, value, least } => {
                (beneath(option)?, format!("is {value}; it must be at least {least}"))
            }
            Runtime::PricedTwice { model } => {
                ("engine.prices".into(), format!("has model `{model}` twice; give it one price"))
            }
            _ => return None,
        },
        Error::TokenStreaming(error) => match &**error {
            TokenStreamingError::Option { option } => (beneath(option)?, zero()),
            _ => return None,
        },
        Error::EventProcessing(error) => match &**error {
            ViewError::Option { option, value, legal } => {
                (beneath(option)?, format!("is {value}; it must be {legal}"))
            }
            _ => return None,
        },
        _ => return None,
    })
}

//! A run of another day, kept in a file.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;
use streamnest::core::Timestamp;

use crate::{Error, Transcript, difference::difference};

/// The variable by which golden runs are written anew: `STREAMNEST_GOLDEN=update`.
const VARIABLE: &str = "STREAMNEST_GOLDEN";

/// A run of another day, kept in a file: an array of entries in JSON, one on each line, without what differs from day to day.
///
/// The id of the execution, other ids that are UUIDs, times and durations are replaced by what they are. How tokens are joined in
/// frames depends on time: pause it, or set `buffer_size = 1`.
///
/// ```no_run
/// # use streamnest_testing::{Error, Golden, Transcript};
/// # fn example(run: Transcript) -> Result<(), Error> {
/// Golden::new("tests/golden/draft.json").check(&run)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Golden {
    path: PathBuf,
    update: bool,
}

impl Golden {
    /// The run in the file at `path`, which is relative to the package. With `STREAMNEST_GOLDEN=update` in the environment
    /// [`check`](Self::check) writes it.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let update = env::var_os(VARIABLE).is_some_and(|value| value == "update");
        Self { path: path.as_ref().into(), update }
    }

    /// Whether [`check`](Self::check) writes the file, whatever the environment says.
    #[must_use]
    pub fn update(self, update: bool) -> Self {
        Self { update, ..self }
    }

    /// Compares a run with the one in the file.
    ///
    /// # Errors
    /// [`Error::NoGolden`], [`Error::NotGolden`], [`Error::Io`].
    pub fn check(&self, run: &Transcript) -> Result<(), Error> {
        let lines = lines(run);
        let failed = |source: io::Error| Error::Io { path: self.path.clone(), source };
        if self.update {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            return fs::write(&self.path, lines.join("\n") + "\n").map_err(failed);
        }
        let golden = match fs::read_to_string(&self.path) {
            Ok(golden) => golden,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoGolden { path: self.path.clone() });
            }
            Err(error) => return Err(failed(error)),
        };
        let golden: Vec<String> = golden.lines().map(String::from).collect();
        match difference(&golden, &lines) {
            Some(difference) => Err(Error::NotGolden { path: self.path.clone(), difference }),
            None => Ok(()),
        }
    }
}

/// The run as the lines of the file.
fn lines(run: &Transcript) -> Vec<String> {
    let count = run.entries().len();
    let entries = run.values().enumerate().map(|(index, mut entry)| {
        settle(&mut entry, run.execution_id().as_str());
        let comma = if index + 1 < count { "," } else { "" };
        format!("{entry}{comma}")
    });
    ["[".to_owned()].into_iter().chain(entries).chain(["]".to_owned()]).collect()
}

/// Fields that hold how long something took.
const DURATIONS: [&str; 4] = ["durationMs", "elapsedMs", "etaMs", "rate"];

/// Replaces what differs from day to day.
fn settle(value: &mut Value, execution: &str) {
    match value {
        Value::String(text) if text == execution => *text = "<execution>".into(),
        Value::String(text) if Timestamp::from_rfc3339(text).is_some() => *text = "<time>".into(),
        Value::String(text) if is_uuid(text) => *text = "<id>".into(),
        Value::Array(items) => items.iter_mut().for_each(|item| settle(item, execution)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match (field.is_number(), name.as_str()) {
                    (true, name) if DURATIONS.contains(&name) => *field = "<duration>".into(),
                    // Of a question, in microseconds since 1970.
                    (true, "deadline") => *field = "<time>".into(),
                    _ => settle(field, execution),
                }
            }
        }
        _ => {}
    }
}

/// Whether a text is a UUID in its usual form.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

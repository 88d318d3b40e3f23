//! Sets of keys that change while the server runs, and when they are read anew.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Algorithm,
    fetch::Fetch,
    key::{self, Key, Mark},
};
use crate::{metrics::Readings, people::People};

/// The least time between two looks at a set for those who are connected, however young its keys have to be.
const LEAST_WATCH: Duration = Duration::from_millis(100);

/// What a set needs of the gateway to be read anew.
#[derive(Clone)]
pub(crate) struct Surroundings {
    /// Owns the tasks that read.
    pub(crate) tasks: TaskTracker,
    /// Nothing is read for a gateway that ends.
    pub(crate) ending: CancellationToken,
    /// Counts what was read.
    pub(crate) readings: Readings,
    /// Who is connected, and leaves when the key of its token is withdrawn.
    pub(crate) people: Arc<People>,
}

/// A set of keys, as it was when it was read last.
///
/// At most one task reads it at a time, and a pause follows each: tokens decide whether it is read anew, never how often. While
/// somebody is connected it is read anew also without them. What cannot be read leaves the keys as they were. A key that is not in
/// what was read is withdrawn, and with the last one all of them: none of its tokens is taken any more, and who is connected by one
/// is not any longer.
pub(super) struct KeySet {
    place: Place,
    algorithms: Vec<Algorithm>,
    /// The least time between the end of one reading and the beginning of the next.
    pause: Duration,
    /// How old the keys may become before they are read anew.
    max_age: Duration,
    state: Mutex<State>,
}

/// Where a set is.
pub(super) enum Place {
    File(PathBuf),
    Url { url: String, fetch: Box<Fetch> },
}

struct State {
    keys: Arc<[Key]>,
    /// When it was read last with success.
    read: Option<Instant>,
    /// When the last reading ended, with success or without.
    tried: Option<Instant>,
    /// Ends when the reading does that goes on now.
    reading: Option<watch::Receiver<()>>,
    /// Whether a task reads it for those who are connected.
    watched: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => f.write_str(url),
        }
    }
}

impl KeySet {
    /// A set that is read already, or is to be.
    pub(super) fn new(
        place: Place,
        algorithms: Vec<Algorithm>,
        pause: Duration,
        max_age: Duration,
        keys: Option<Vec<Key>>,
    ) -> Self {
        let read = keys.is_some().then(Instant::now);
        let keys = keys.unwrap_or_default().into();
        Self {
            place,
            algorithms,
            pause,
            max_age,
            state: Mutex::new(State { keys, read, tried: read, reading: None, watched: false }),
        }
    }

    /// Its keys as they are known.
    pub(super) fn current(&self) -> Arc<[Key]> {
        self.state().keys.clone()
    }

    /// Whether nothing is known of it yet.
    pub(super) fn is_missing(&self) -> bool {
        self.state().read.is_none()
    }

    /// Whether a key is still in it.
    pub(super) fn has(&self, mark: &Mark) -> bool {
        self.state().keys.iter().any(|key| key.mark.as_ref() == Some(mark))
    }

    /// How old its keys are, if they are known.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state().read.map(|read| read.elapsed())
    }

    /// Sees to it that it is read anew where that is due. Gives the end of that, if whoever asks should wait for it: a file is
    /// read at once, a URL is waited for only by who needs a key that is not known, for whom `is_wanted` is true.
    pub(super) fn refresh(
        self: &Arc<Self>,
        is_wanted: bool,
        surroundings: &Surroundings,
    ) -> Option<watch::Receiver<()>> {
        let waits = is_wanted || matches!(self.place, Place::File(_));
        let mut state = self.state();
        if !std::mem::replace(&mut state.watched, true) {
            surroundings.tasks.spawn(Self::watch(Arc::downgrade(self), self.max_age, surroundings.clone()));
        }
        if let Some(reading) = &state.reading {
            return waits.then(|| reading.clone());
        }
        let is_old = state.read.is_none_or(|read| read.elapsed() >= self.max_age);
        let is_rested = state.tried.is_none_or(|tried| tried.elapsed() >= self.pause);
        if !(is_rested && (is_old || is_wanted)) {
            return None;
        }
        let (done, reading) = watch::channel(());
        state.reading = Some(reading.clone());
        drop(state);
        let (set, around) = (self.clone(), surroundings.clone());
        surroundings.tasks.spawn(async move {
            let read = tokio::select! {
                read = set.read() => Some(read),
                () = around.ending.cancelled() => None,
            };
            set.take(read, &around);
            drop(done);
        });
        waits.then_some(reading)
    }

    /// Sees to it that those who are connected by a key that was withdrawn hear of it, also when no token comes.
    async fn watch(set: Weak<Self>, every: Duration, surroundings: Surroundings) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(every.max(LEAST_WATCH)) => {}
                () = surroundings.ending.cancelled() => return,
            }
            let Some(set) = set.upgrade() else { return };
            if surroundings.people.count() > 0 {
                set.refresh(false, &surroundings);
            }
        }
    }

    async fn read(&self) -> Result<Vec<Key>, String> {
        match &self.place {
            Place::File(path) => {
                let (path, algorithms) = (path.clone(), self.algorithms.clone());
                let read = tokio::task::spawn_blocking(move || key::read_file(&path, &algorithms));
                read.await.unwrap_or_else(|_| Err("is not read while the server ends".into()))
            }
            Place::Url { fetch, .. } => {
                let bytes = fetch.get().await?;
                let text = str::from_utf8(&bytes).map_err(|_| "is no text".to_owned())?;
                key::of_set(text, &self.algorithms)
            }
        }
    }

    /// Takes what was read, if it was.
    fn take(&self, read: Option<Result<Vec<Key>, String>>, surroundings: &Surroundings) {
        let now = Instant::now();
        let mut withdrawn: Vec<Mark> = Vec::new();
        let mut state = self.state();
        (state.reading, state.tried) = (None, Some(now));
        match read {
            Some(Ok(keys)) => {
                let before = std::mem::replace(&mut state.keys, keys.into());
                state.read = Some(now);
                withdrawn.extend(before.iter().filter_map(|key| key.mark.clone()));
                withdrawn.retain(|mark| !state.keys.iter().any(|key| key.mark.as_ref() == Some(mark)));
                tracing::debug!(set = %self.place, keys = state.keys.len(), "key set was read");
                surroundings.readings.succeeded();
            }
            Some(Err(error)) => {
                let age = state.read.map(|read| read.elapsed());
                tracing::error!(set = %self.place, error, ?age, "key set cannot be read, and the keys stay as they were");
                surroundings.readings.failed();
            }
            None => {}
        }
        if withdrawn.is_empty() {
            return;
        }
        let left = state.keys.len();
        drop(state);
        tracing::warn!(set = %self.place, withdrawn = withdrawn.len(), left, "keys were withdrawn");
        surroundings
            .people
            .expel(|principal| principal.mark.as_ref().is_some_and(|mark| withdrawn.contains(mark)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

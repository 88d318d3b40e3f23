//! Threads that read for cold readers, so that a slow disk holds up nobody else.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Something to be read.
type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when this is dropped.
pub(crate) struct Readers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
}

/// One job for each reader that waits, so there are as many as cursors that read at this moment.
#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closing: bool,
}

impl Readers {
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let readers = Self { shared: Arc::default() };
        for number in 0..count {
            let shared = readers.shared.clone();
            thread::Builder::new().name(format!("log-read-{number}")).spawn(move || shared.run())?;
        }
        Ok(readers)
    }

    /// Has `job` done by one of the threads.
    pub(crate) fn give(&self, job: impl FnOnce() + Send + 'static) {
        self.shared.lock().jobs.push_back(Box::new(job));
        self.shared.filled.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let mut state = self.lock();
            let job = loop {
                if let Some(job) = state.jobs.pop_front() {
                    break job;
                }
                if state.closing {
                    return;
                }
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            drop(state);
            job();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A list of jobs is consistent between statements, so a panic elsewhere leaves nothing broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.filled.notify_all();
    }
}

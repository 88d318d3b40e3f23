//! Whatever happens from outside in any moment of a run: its log comes to one end, which is its last entry, and nothing
//! is left behind, neither a task nor a log nor a byte.

mod outside;
mod watch;
mod workflows;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use streamnest_core::{Appended, Entry, ExecutionControl as _, LogStore};
use streamnest_log::LogOptions;
use streamnest_runtime::{Engine, EngineOptions};
use tokio::{runtime::Handle, sync::Notify, task::yield_now};

use self::{
    outside::{Disturbance, Outside},
    watch::{Watch, bytes},
    workflows::{HELD, LONGEST},
};
use crate::{
    reference::quiet,
    stores::Judged,
    support::{Definition, chaos, engine_with, memory, registry},
};

/// The store of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// What is appended is durable at once.
    InMemory,
    /// What is appended is durable when others had their turn, so that each append is one more await.
    OnSlowDisk,
}

fn engine(definition: Definition, store: Arc<dyn LogStore>) -> Engine {
    let options = EngineOptions::default().with_disconnect_grace(workflows::GRACE);
    engine_with(definition, registry(store, LogOptions::default()), options)
}

/// What a store has taken that is not durable yet.
#[derive(Default)]
struct Taken {
    last: AtomicU64,
    sealed: AtomicBool,
    more: Notify,
}

impl Taken {
    fn take(&self, entries: &[Arc<Entry>]) {
        match entries.last() {
            Some(last) => self.last.store(last.seq().get(), Ordering::SeqCst),
            None => self.sealed.store(true, Ordering::SeqCst),
        }
        self.more.notify_one();
    }

    /// Makes durable what was taken, again and again.
    async fn settle(&self, store: &Judged) {
        loop {
            self.more.notified().await;
            yield_now().await;
            store.release(self.last.load(Ordering::SeqCst), self.sealed.load(Ordering::SeqCst));
        }
    }
}

/// How a run came out.
struct Came {
    /// How many moments it had.
    moments: usize,
    /// How it ended; `None` if it was refused.
    ended: Option<String>,
}

/// One run on an engine of its own, disturbed in the moment `number` if it has so many.
async fn run(definition: Definition, kept: Kept, number: usize, how: Disturbance) -> Came {
    if kept == Kept::InMemory {
        let engine = engine(definition, memory());
        return run_on(&engine, number, how).await;
    }
    let taken = Arc::new(Taken::default());
    let takes = taken.clone();
    let store = Judged::new(move |entries: &[Arc<Entry>]| {
        takes.take(entries);
        Ok(Appended::Pending)
    });
    let engine = engine(definition, store.clone());
    let disk = tokio::spawn(async move { taken.settle(&store).await });
    let came = run_on(&engine, number, how).await;
    disk.abort();
    drop(disk.await);
    came
}

async fn run_on(engine: &Engine, number: usize, how: Disturbance) -> Came {
    let outside = Outside::new(how);
    watch::begin(number, outside.act(engine.clone()));
    let told = outside.attend(engine).await;
    let (moments, undone) = watch::end();
    assert_eq!(undone, moments < number, "what was to happen in moment {number} of {moments} did");
    if let Some(told) = &told {
        told.check_attempts();
        engine.delete(&outside::id()).await.unwrap();
    }
    let kept = engine.executions(10, None).executions.len();
    assert_eq!((engine.logs().len(), engine.logs().bytes(), kept), (0, 0, 0), "a log is left");
    Came { moments, ended: told.map(|told| told.ended()) }
}

/// A workflow: its name, what it does, and how it ends.
type Case = (&'static str, fn() -> Definition, &'static str);

/// Disturbs a workflow in each moment that it has, counting how it ended. How many moments.
async fn disturb(
    (name, definition, undisturbed): Case,
    kept: Kept,
    how: Disturbance,
    ends: &mut BTreeMap<String, u32>,
) -> usize {
    let tasks = Handle::current().metrics().num_alive_tasks();
    let mut number = 0;
    loop {
        number += 1;
        let mut tries = 0;
        let came = loop {
            let before = bytes();
            let came = run(definition(), kept, number, how).await;
            let place = format!("{name}, {kept:?}: after {how:?} in moment {number} of {}", came.moments);
            assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks, "{place} a task is left");
            assert_eq!(Arc::strong_count(&HELD), 1, "{place} a body is left");
            drop(place);
            let Came { moments, ended } = came;
            let left = bytes() - before - ended.as_ref().map_or(0, |ended| ended.capacity().cast_signed());
            if left <= 0 {
                break Came { moments, ended };
            }
            // What lasts longer than a run, such as the room for a thread's own memory, grows once and no more.
            tries += 1;
            assert!(tries < 4, "{name}, {kept:?}: {left} bytes are left after {how:?} in moment {number}");
        };
        let ended = came.ended.unwrap_or_else(|| "refused".into());
        // Only a program that shuts down refuses to start anything.
        let may = how.may_end(name, undisturbed, &ended) || (how == Disturbance::Drain && ended == "refused");
        assert!(may, "{name}, {kept:?}: {how:?} in moment {number} of {} ends it as {ended}", came.moments);
        *ends.entry(ended).or_default() += 1;
        if came.moments < number {
            return number - 1;
        }
    }
}

async fn in_every_moment(how: Disturbance) {
    quiet();
    let _watch = tracing::subscriber::set_default(Watch);
    let (mut moments, mut ends) = (0, BTreeMap::new());
    for case in workflows::all() {
        let (name, definition, end) = case;
        for kept in [Kept::InMemory, Kept::OnSlowDisk] {
            let came = run(definition(), kept, usize::MAX, how).await;
            assert_eq!(came.ended.as_deref(), Some(end), "{name}, when nothing disturbs it");
            if kept == Kept::OnSlowDisk && name == LONGEST && !chaos() {
                continue;
            }
            let found = disturb(case, kept, how, &mut ends).await;
            println!("{name}, {kept:?}: moments={found} undisturbed={}", came.moments);
            moments += found;
        }
    }
    let refused = ends.get("refused").copied().unwrap_or(0) as usize;
    println!("{how:?}: moments={moments} leaked=0 terminal={} refused={refused} {ends:?}", moments - refused);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_in_every_moment_of_a_run_leaves_nothing_behind_and_one_terminal_entry() {
    in_every_moment(Disturbance::Cancel).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_every_moment_of_a_run_leaves_nothing_behind_and_one_terminal_entry() {
    in_every_moment(Disturbance::Drain).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_lets_a_run_go_in_any_moment_leaves_nothing_behind_and_one_terminal_entry() {
    in_every_moment(Disturbance::Leave).await;
}

/// Lets a run of something that is left behind come to its end.
async fn find(definition: fn() -> Definition) {
    let case = ("it", definition, "completed");
    disturb(case, Kept::InMemory, Disturbance::Leave, &mut BTreeMap::new()).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "1 bytes are left after Leave in moment 1")]
async fn a_single_byte_that_is_left_behind_is_found() {
    find(workflows::leaks_a_byte).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a task is left")]
async fn a_task_that_is_left_behind_is_found() {
    find(workflows::leaks_a_task).await;
}

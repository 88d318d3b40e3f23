//! Appends to a store until it is stopped, and says what was acknowledged: what the tests kill, trace and look after.
//!
//! `append DIRECTORY PRODUCERS EXECUTIONS APPENDS` opens the store, says `ready` once it has read an entry of each execution that
//! is there, and after each acknowledged append of entries `ack EXECUTION LAST`. It ends after so many appends, 0 never.

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake},
    thread,
};

use streamnest_core::{
    DurabilityWatch, Entry, Event, EventType, ExecutionId, LogStore, Mark, NamesLog as _, Seq, StoreError,
    StoredLog, Timestamp,
};
use streamnest_log::SystemClock;
use streamnest_log_disk::{DiskOptions, DiskStore};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Hears what is durable.
#[derive(Default)]
struct Heard(Mutex<(Mark, Option<StoreError>)>, Condvar);

impl DurabilityWatch for Heard {
    fn durable(&self, mark: Mark) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = mark;
        self.1.notify_all();
    }

    fn failed(&self, error: StoreError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(error);
        self.1.notify_all();
    }
}

impl Heard {
    fn wait_for(&self, last: Seq) -> Result<(), StoreError> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut (Mark, Option<StoreError>)| state.0.last < last && state.1.is_none();
        let state = self.1.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        state.1.clone().map_or(Ok(()), Err)
    }
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that a thread of the store completes.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// The entry `seq` of the execution `number`: its content can be told from both.
fn entry(number: u64, seq: Seq) -> Arc<Entry> {
    let content = format!("{number}:{seq}:{}", "x".repeat((seq.get() * 7 % 200) as usize));
    let event = Event::named(None, EventType::CUSTOM, &content.into());
    Arc::new(Entry::new(seq, Timestamp::from_micros(seq.get()), event))
}

struct Producer {
    store: Arc<DiskStore>,
    appends: Arc<AtomicU64>,
    limit: u64,
}

impl Producer {
    fn open(&self, number: u64) -> Result<(Arc<dyn StoredLog>, Arc<Heard>), Failed> {
        let (name, heard) =
            (ExecutionId::new(&format!("run{number}"))?.log_name(), Arc::new(Heard::default()));
        let log = match wait(self.store.open(&name, heard.clone())) {
            Err(StoreError::NotFound { .. }) => wait(self.store.create(&name, &[], heard.clone()))?,
            opened => opened?,
        };
        if log.head().last > Seq::BEFORE_FIRST {
            wait(log.read(Seq::FIRST, 1, 1))?;
        }
        Ok((log, heard))
    }

    /// Appends to its executions in turn, each time some entries, and waits until they are durable.
    fn run(&self, numbers: &[u64], logs: &[(Arc<dyn StoredLog>, Arc<Heard>)]) -> Result<(), Failed> {
        let mut out = io::stdout();
        for round in 0_u64.. {
            for (number, (log, heard)) in numbers.iter().zip(logs) {
                if self.limit > 0 && self.appends.fetch_add(1, Ordering::Relaxed) >= self.limit {
                    return Ok(());
                }
                let head = log.head();
                let (mut last, mut entries) = (head.last, Vec::new());
                for _ in 0..1 + round % 4 {
                    last = last.next();
                    entries.push(entry(*number, last));
                }
                log.append(head.term, head.last, &entries, &[])?;
                heard.wait_for(last)?;
                out.write_all(format!("ack {number} {last}\n").as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, producers, executions, limit] = arguments.as_slice() else {
        return Err("append DIRECTORY PRODUCERS EXECUTIONS APPENDS".into());
    };
    let (producers, executions, limit): (u64, u64, u64) =
        (producers.parse()?, executions.parse()?, limit.parse()?);
    let store = DiskStore::open(Path::new(directory), Arc::new(SystemClock), DiskOptions::default())?;
    let (store, appends) = (Arc::new(store), Arc::new(AtomicU64::new(0)));
    let mut threads = Vec::new();
    for producer in 0..producers {
        let numbers: Vec<u64> = (0..executions).filter(|number| number % producers == producer).collect();
        let own = Producer { store: store.clone(), appends: appends.clone(), limit };
        let logs: Result<Vec<_>, _> = numbers.iter().map(|number| own.open(*number)).collect();
        threads.push((own, numbers, logs?));
    }
    writeln!(io::stdout(), "ready")?;
    thread::scope(|scope| {
        let run = |(own, numbers, logs): &(Producer, Vec<u64>, Vec<_>)| own.run(numbers, logs);
        let running: Vec<_> = threads.iter().map(|thread| scope.spawn(move || run(thread))).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| Failed::from("a producer panicked"))?)
    })
}

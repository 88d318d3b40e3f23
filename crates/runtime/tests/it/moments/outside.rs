//! Who starts a run, views it, answers it, and disturbs it.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use streamnest_core::{Approval, BoxFuture, EventType, ExecutionControl as _, ExecutionId, Signal};
use streamnest_log::{Cursor, EventLog, Read, ReadLimit, Start};
use streamnest_runtime::{Engine, Run};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{Instrument as _, info_span};

use super::workflows::{LEFT, answer, is_answered};
use crate::support::{Told, request, told_of};

/// Longer than any of the runs.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What happens to a run from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disturbance {
    /// It is cancelled.
    Cancel,
    /// The program shuts down, and has no time to wait.
    Drain,
    /// Whoever started it, holds it and views it lets it go.
    Leave,
}

impl Disturbance {
    /// How a run may end that would have ended by `undisturbed`. It is stopped, or it is as if nothing had happened.
    pub(super) fn may_end(self, name: &str, undisturbed: &str, ended: &str) -> bool {
        let may_stop = match self {
            Self::Cancel | Self::Drain => true,
            Self::Leave => name == LEFT,
        };
        ended == undisturbed || may_stop && ended == "cancelled"
    }
}

/// What outsiders have of a run.
pub(super) struct Outside {
    how: Disturbance,
    held: RefCell<Option<(Run, Cursor)>>,
    draining: RefCell<Option<BoxFuture<'static, ()>>>,
    /// Told when the disturbance has come.
    come: Notify,
}

pub(super) fn id() -> ExecutionId {
    ExecutionId::new("disturbed").unwrap()
}

/// Polls what has its effect when it is polled for the first time.
fn poll_once(mut future: Pin<&mut (impl Future<Output = ()> + ?Sized)>) {
    let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

impl Outside {
    pub(super) fn new(how: Disturbance) -> Rc<Self> {
        let (held, draining) = (RefCell::default(), RefCell::default());
        Rc::new(Self { how, held, draining, come: Notify::new() })
    }

    /// The disturbance. It is done within a poll of the run.
    pub(super) fn act(self: &Rc<Self>, engine: Engine) -> impl FnOnce() + 'static {
        let this = self.clone();
        move || {
            match this.how {
                Disturbance::Cancel => {
                    // In the midst of its start it may not be known yet.
                    let cancel = async { drop(engine.cancel(&id(), Some("enough".into())).await) };
                    poll_once(std::pin::pin!(cancel));
                }
                Disturbance::Drain => {
                    let mut drain: BoxFuture<'static, ()> =
                        Box::pin(async move { engine.drain(Duration::ZERO).await });
                    poll_once(drain.as_mut());
                    this.draining.replace(Some(drain));
                }
                Disturbance::Leave => drop(this.held.take()),
            }
            this.come.notify_one();
        }
    }

    /// Starts a run and attends it to its end: what it said, or `None` if it was refused.
    pub(super) async fn attend(&self, engine: &Engine) -> Option<Told> {
        let ended = Notify::new();
        let attending = async {
            let log = self.start(engine).await;
            if let Some(log) = &log {
                timeout(PATIENCE, self.answer(engine, log)).await.expect("the run ends");
            }
            ended.notify_one();
            log
        };
        let draining = async {
            tokio::select! {
                biased;
                () = self.come.notified(), if self.how == Disturbance::Drain => {}
                () = ended.notified() => {}
            }
            if let Some(drain) = self.draining.take() {
                timeout(PATIENCE, drain).await.expect("the drain ends");
            }
        };
        let (log, ()) = tokio::join!(attending, draining);
        drop(self.held.take());
        let log = log?;
        let last = log.head();
        assert!(last.sealed);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.head().last, last.last, "nothing follows the end");
        Some(told_of(&log).await)
    }

    /// Starts a run and holds it, unless it is left before.
    async fn start(&self, engine: &Engine) -> Option<Arc<EventLog>> {
        let starting = engine.run(request(Some("disturbed"))).instrument(info_span!("execution"));
        tokio::select! {
            biased;
            () = self.come.notified(), if self.how == Disturbance::Leave => {}
            run = starting => {
                let run = run.ok()?;
                let (log, viewer) = (run.log().clone(), run.log().cursor(Start::Beginning));
                self.held.replace(Some((run, viewer)));
                return Some(log);
            }
        }
        // Nobody waits for the start any more, and it goes on all the same.
        let arrived = timeout(PATIENCE, engine.logs().wait_for(&id())).await;
        Some(arrived.expect("what was begun is started").unwrap())
    }

    /// Reads to the end, and answers what is asked.
    async fn answer(&self, engine: &Engine, log: &Arc<EventLog>) {
        let (id, mut cursor) = (id(), log.observer(Start::Beginning));
        while let Some(read) = cursor.next_batch(ReadLimit::default()).await.unwrap() {
            let Read::Batch(batch) = read else { panic!("nothing is trimmed") };
            for entry in batch.iter() {
                if entry.event().event_type() != &EventType::APPROVAL {
                    continue;
                }
                let approval: Approval =
                    serde_json::from_value(entry.event().as_data().unwrap().unwrap()).unwrap();
                if is_answered(&approval) {
                    let signal = Signal::new(approval.ask, answer());
                    let signalling = engine.signal(&id, signal).instrument(info_span!("execution"));
                    // It may just have been cancelled.
                    drop(signalling.await);
                }
            }
        }
    }
}

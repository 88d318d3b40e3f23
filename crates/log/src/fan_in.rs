//! One reader of many logs.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use streamnest_core::{Entry, ExecutionId, Position};

use crate::{Cursor, Error, EventLog, Filter, Gap, Read, ReadLimit, Start};

/// Batches that one poll reads, in all of which the filter leaves nothing, before it lets others run.
const FRUITLESS_READS: usize = 64;

/// Which logs a [`FanInCursor`] follows.
#[derive(Clone, Default)]
pub enum FanInScope {
    /// Those of every execution, also those that come later.
    #[default]
    All,
    /// Those of these executions, also if they come later.
    Executions(HashSet<ExecutionId>),
    /// Those of the executions that this says yes to, also if they come later. It is asked once for each log, when that comes or
    /// the scope [changes](crate::Registry::change_scope), and must not wait.
    Which(Arc<dyn Fn(&ExecutionId) -> bool + Send + Sync>),
}

impl fmt::Debug for FanInScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Executions(ids) => f.debug_tuple("Executions").field(ids).finish(),
            Self::Which(_) => f.write_str("Which"),
        }
    }
}

impl FanInScope {
    fn takes(&self, log: &EventLog) -> bool {
        match self {
            Self::All => log.identity().execution().is_some(),
            Self::Executions(ids) => log.identity().execution().is_some_and(|id| ids.contains(id)),
            Self::Which(choose) => log.identity().execution().is_some_and(|id| choose(id)),
        }
    }
}

/// A view over many logs: those that are there, from now on, and those that come, from their start.
///
/// # Ordering
/// Entries of one execution come in order; between executions nothing is promised. A fan-in has no position and does
/// not resume. It follows at most [`LogOptions::max_fan_in`](crate::LogOptions::max_fan_in) logs at once and tells of
/// those that it had to leave out.
pub struct FanInCursor {
    arrivals: Arc<Arrivals>,
    filter: Filter,
    members: Vec<Option<Member>>,
    free: Vec<usize>,
    /// Whether it was told last that logs were left out, so that entries come first now.
    told_left_out: bool,
}

struct Member {
    cursor: Cursor,
    flag: Arc<Flag>,
    waker: Waker,
}

/// What a [`FanInCursor`] found.
#[derive(Clone, Debug)]
pub enum FanIn {
    /// Entries of one execution that pass the filter, in order; never empty.
    Entries {
        /// The execution's log.
        log: Arc<EventLog>,
        /// The entries.
        entries: Vec<Arc<Entry>>,
    },
    /// A range of one execution that this view missed.
    Gap {
        /// The execution's log.
        log: Arc<EventLog>,
        /// The range.
        gap: Gap,
    },
    /// New executions that are not followed, because as many as may be are.
    LeftOut {
        /// How many since this was told last. One that is left out again after the scope has changed counts again.
        executions: u64,
    },
}

/// Where new logs and wakes for one fan-in arrive.
pub(crate) struct Arrivals {
    scope: FanInScope,
    limit: usize,
    inbox: Mutex<Inbox>,
}

/// What has come to a view and was not looked at yet.
pub(crate) struct Came {
    logs: Vec<Arc<EventLog>>,
    /// How many could not be followed, which nobody was told.
    left_out: u64,
}

#[derive(Default)]
struct Inbox {
    /// Logs that came and are not followed yet; together with the followed ones at most `limit`.
    new: Vec<Arc<EventLog>>,
    following: usize,
    left_out: u64,
    /// Members that may have something, each at most once.
    ready: VecDeque<Arc<Flag>>,
    waker: Option<Waker>,
}

impl Inbox {
    /// How many places are taken.
    fn taken(&self) -> usize {
        self.following + self.new.len()
    }

    /// Lets `waker` wait if there is nothing; whether it does.
    fn wait(&mut self, waker: &Waker) -> bool {
        let nothing = self.new.is_empty() && self.ready.is_empty() && self.left_out == 0;
        if nothing && !self.waker.as_ref().is_some_and(|waiting| waiting.will_wake(waker)) {
            self.waker = Some(waker.clone());
        }
        nothing
    }
}

/// The ready flag of one member.
struct Flag {
    member: usize,
    raised: AtomicBool,
    arrivals: std::sync::Weak<Arrivals>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if self.raised.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(arrivals) = self.arrivals.upgrade() {
            let waker = {
                let mut inbox = arrivals.lock();
                inbox.ready.push_back(self);
                inbox.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Arrivals {
    pub(crate) fn new(scope: FanInScope, limit: usize) -> Arc<Self> {
        Arc::new(Self { scope, limit, inbox: Mutex::default() })
    }

    /// A log has come.
    pub(crate) fn arrive(&self, log: &Arc<EventLog>) {
        if !self.scope.takes(log) {
            return;
        }
        let waker = {
            let mut inbox = self.lock();
            if inbox.taken() < self.limit {
                inbox.new.push(log.clone());
            } else {
                inbox.left_out += 1;
            }
            inbox.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FanInCursor {
    pub(crate) fn new(
        arrivals: Arc<Arrivals>,
        filter: Filter,
        present: &[(Arc<EventLog>, Position)],
    ) -> Self {
        let mut fan = Self { arrivals, filter, members: Vec::new(), free: Vec::new(), told_left_out: false };
        fan.follow_present(present, |_| true);
        fan
    }

    /// What has come and was not looked at yet.
    pub(crate) fn take_came(&mut self) -> Came {
        let mut inbox = self.arrivals.lock();
        Came { logs: mem::take(&mut inbox.new), left_out: mem::take(&mut inbox.left_out) }
    }

    /// The same view of what `arrivals` takes: it goes on where it stands in each log that is taken still, begins at the start of
    /// those that `came`, and follows from now on those of `present` that were not taken before. What was left out and not told yet
    /// is told still.
    pub(crate) fn moved(
        self,
        arrivals: Arc<Arrivals>,
        came: Came,
        present: &[(Arc<EventLog>, Position)],
    ) -> Self {
        arrivals.lock().left_out += came.left_out;
        let Self { filter, members, told_left_out, .. } = self;
        let mut fan = Self { arrivals, filter, members: Vec::new(), free: Vec::new(), told_left_out };
        let stood = members.into_iter().flatten().map(|member| member.cursor);
        let came = came.logs.iter().map(|log| log.observer(Start::Beginning));
        let known: Vec<_> = stood.chain(came).collect();
        let seen: HashSet<_> = known.iter().map(|cursor| Arc::as_ptr(cursor.log())).collect();
        for cursor in known {
            if fan.arrivals.scope.takes(cursor.log()) && fan.has_room() {
                fan.enter(cursor);
            }
        }
        fan.follow_present(present, |log| !seen.contains(&Arc::as_ptr(log)));
        fan
    }

    /// Follows those logs from there on that the scope takes.
    fn follow_present(
        &mut self,
        present: &[(Arc<EventLog>, Position)],
        is_new: impl Fn(&Arc<EventLog>) -> bool,
    ) {
        for (log, position) in present.iter().filter(|(log, _)| is_new(log)) {
            if self.arrivals.scope.takes(log) && self.has_room() {
                self.follow(log, Start::After(*position));
            }
        }
    }

    /// Whether one more log may be followed. One that may not is left out.
    fn has_room(&self) -> bool {
        let mut inbox = self.arrivals.lock();
        let room = inbox.taken() < self.arrivals.limit;
        inbox.left_out += u64::from(!room);
        room
    }

    fn follow(&mut self, log: &Arc<EventLog>, from: Start) {
        self.enter(log.observer(from));
    }

    fn enter(&mut self, cursor: Cursor) {
        let member = self.free.pop().unwrap_or(self.members.len());
        let flag = Arc::new(Flag {
            member,
            raised: AtomicBool::new(true),
            arrivals: Arc::downgrade(&self.arrivals),
        });
        let new = Member { cursor, flag: flag.clone(), waker: flag.clone().into() };
        match self.members.get_mut(member) {
            Some(slot) => *slot = Some(new),
            None => self.members.push(Some(new)),
        }
        let mut inbox = self.arrivals.lock();
        inbox.following += 1;
        inbox.ready.push_back(flag);
    }

    /// How many logs are followed.
    pub fn following(&self) -> usize {
        self.arrivals.lock().following
    }

    /// Waits for what comes next in any of the logs. There is always more to come.
    ///
    /// # Errors
    /// [`Error::Store`] if one of the logs cannot be read; that one is no longer followed, the others are.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&mut self, limit: ReadLimit) -> Result<FanIn, Error> {
        poll_fn(|cx| self.poll_next(cx, limit)).await
    }

    /// As [`next`](Self::next), by hand.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>, limit: ReadLimit) -> Poll<Result<FanIn, Error>> {
        for _ in 0..FRUITLESS_READS {
            let (new, ready, left_out) = {
                let mut inbox = self.arrivals.lock();
                let new = mem::take(&mut inbox.new);
                // Logs between here and `follow` keep their places.
                inbox.following += new.len();
                let left_out = if self.told_left_out { 0 } else { mem::take(&mut inbox.left_out) };
                let ready = if left_out > 0 { None } else { inbox.ready.pop_front() };
                (new, ready, left_out)
            };
            let came = !new.is_empty();
            for log in new {
                self.arrivals.lock().following -= 1;
                self.follow(&log, Start::Beginning);
            }
            self.told_left_out = left_out > 0;
            if left_out > 0 {
                return Poll::Ready(Ok(FanIn::LeftOut { executions: left_out }));
            }
            if let Some(flag) = ready {
                if let Some(found) = self.read(&flag, limit) {
                    return Poll::Ready(found);
                }
            } else if !came && self.arrivals.lock().wait(cx.waker()) {
                return Poll::Pending;
            }
        }
        // What was read passed no filter. Others on this thread come first, then this goes on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads a member that may have something. It goes to the end of the line if it has, so that none is starved.
    fn read(&mut self, flag: &Arc<Flag>, limit: ReadLimit) -> Option<Result<FanIn, Error>> {
        let member = self.members.get_mut(flag.member)?.as_mut()?;
        if !Arc::ptr_eq(&member.flag, flag) {
            return None;
        }
        flag.raised.store(false, Ordering::Release);
        let waker = member.waker.clone();
        match member.cursor.poll_next_batch(&mut Context::from_waker(&waker), limit) {
            Poll::Pending => None,
            Poll::Ready(Ok(Some(read))) => {
                let log = member.cursor.log().clone();
                waker.wake();
                match read {
                    Read::Gap(gap) => Some(Ok(FanIn::Gap { log, gap })),
                    Read::Batch(batch) => {
                        let entries: Vec<_> =
                            batch.into_iter().filter(|entry| self.filter.matches(entry.event())).collect();
                        (!entries.is_empty()).then_some(Ok(FanIn::Entries { log, entries }))
                    }
                }
            }
            Poll::Ready(end) => {
                if let Some(slot) = self.members.get_mut(flag.member) {
                    *slot = None;
                }
                self.free.push(flag.member);
                self.arrivals.lock().following -= 1;
                end.err().map(Err)
            }
        }
    }
}

impl fmt::Debug for FanInCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanInCursor").field("following", &self.following()).finish_non_exhaustive()
    }
}

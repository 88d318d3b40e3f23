//! All connections of a run, on one thread.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    connection::{Connection, Observed, Transport},
    error::Error,
    meter::Meter,
    sse,
    system::{self, Interest, Poll, Ready},
};

/// Connections and the loop that serves them.
pub(crate) struct Swarm {
    poll: Poll,
    ready: Vec<Ready>,
    buffer: Vec<u8>,
    target: SocketAddrV4,
    authority: String,
    connections: Vec<Slot>,
    /// Shown in turn by those that are opened.
    tokens: Vec<String>,
    /// What all of them count together.
    pub(crate) meter: Meter,
}

struct Slot {
    connection: Connection,
    /// What the poll watches it for; `None` once it is over.
    interest: Option<Interest>,
    reads: bool,
}

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    /// The kernel's receive buffer in bytes; the system's own choice if `None`.
    pub(crate) receive_buffer: Option<u32>,
}

/// What a subscription asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subscription<'a> {
    pub(crate) execution: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) flush_window_ms: Option<u32>,
}

/// Connections whose handshake is under way at once: well below the backlog that servers listen with, as what the backlog
/// drops is tried again after a second only.
const HANDSHAKES: usize = 128;

/// Connections of one source address; a Linux has about 28,000 ports to give to each.
const PER_SOURCE: usize = 20_000;

/// Read by one system call at most.
const BUFFER: usize = 64 * 1024;

/// How long the handshakes, or the confirmations, of a swarm may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Swarm {
    pub(crate) fn new(target: SocketAddrV4) -> Result<Self, Error> {
        Ok(Self {
            poll: Poll::new().map_err(Error::system("creating an epoll instance"))?,
            ready: Vec::new(),
            buffer: vec![0; BUFFER],
            target,
            authority: target.to_string(),
            connections: Vec::new(),
            tokens: Vec::new(),
            meter: Meter::new()?,
        })
    }

    /// Lets each connection show the next of these tokens when it is opened.
    pub(crate) fn with_tokens(self, tokens: Vec<String>) -> Self {
        Self { tokens, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// What the connection `at` has seen.
    pub(crate) fn observed(&self, at: usize) -> Option<&Observed> {
        self.connections.get(at).map(|slot| slot.connection.observed())
    }

    /// Whether the server, or a failure, has ended the connection `at`.
    pub(crate) fn is_over(&self, at: usize) -> bool {
        self.connections.get(at).is_none_or(|slot| slot.connection.is_over())
    }

    /// Whether the connection `at` stands and can be told what to follow.
    pub(crate) fn is_open(&self, at: usize) -> bool {
        self.connections.get(at).is_some_and(|slot| slot.connection.is_open())
    }

    /// Opens `count` more connections and waits until they stand.
    pub(crate) fn open(&mut self, count: usize, opening: Opening) -> Result<(), Error> {
        let wanted = self.meter.opened + count;
        let mut started = self.meter.opened;
        let start = Instant::now();
        while self.meter.opened < wanted && self.meter.failed == 0 && start.elapsed() < PATIENCE {
            while started < wanted && started - self.meter.opened < HANDSHAKES {
                self.begin(None, opening, Observed::default())?;
                started += 1;
            }
            self.turn(Duration::from_millis(10))?;
        }
        self.expect("opened", self.meter.opened, wanted, start)
    }

    /// Opens a connection in the place of the one at `at`, which is dropped; it keeps what that one has seen.
    pub(crate) fn reopen(&mut self, at: usize, opening: Opening) -> Result<(), Error> {
        let Some(slot) = self.connections.get_mut(at) else { return Ok(()) };
        let observed = Observed { failed: false, ..slot.connection.take_observed() };
        self.begin(Some(at), opening, observed)
    }

    fn begin(&mut self, at: Option<usize>, opening: Opening, observed: Observed) -> Result<(), Error> {
        let key = at.unwrap_or(self.connections.len());
        let last_octet = u8::try_from(key / PER_SOURCE + 1).unwrap_or(u8::MAX);
        let source = Ipv4Addr::new(127, 0, 0, last_octet);
        let source = if self.target.ip().is_loopback() { source } else { Ipv4Addr::UNSPECIFIED };
        let stream = system::connect(source, self.target, opening.receive_buffer)
            .map_err(Error::system("opening a connection"))?;
        let interest = Interest::ReadWrite;
        self.poll.add(&stream, key, interest).map_err(Error::system("watching a socket"))?;
        let mut connection = Connection::new(stream, opening.transport, observed);
        let turn = key.checked_rem(self.tokens.len());
        connection.show(turn.and_then(|turn| self.tokens.get(turn).cloned()));
        let slot = Slot { connection, interest: Some(interest), reads: true };
        match self.connections.get_mut(key) {
            Some(place) => *place = slot,
            None => self.connections.push(slot),
        }
        Ok(())
    }

    /// Sets the fountain that connection `at` is checked against, and subscribes it.
    pub(crate) fn subscribe(
        &mut self,
        at: usize,
        observed: Observed,
        subscription: Subscription<'_>,
    ) -> Result<(), Error> {
        let Some(slot) = self.connections.get_mut(at) else { return Ok(()) };
        slot.connection.follow(observed);
        self.ask(at, subscription)
    }

    /// Subscribes connection `at`, which goes on with what it has seen.
    pub(crate) fn ask(&mut self, at: usize, subscription: Subscription<'_>) -> Result<(), Error> {
        let Some(slot) = self.connections.get_mut(at) else { return Ok(()) };
        let result = match slot.connection.transport() {
            Transport::WebSocket => slot.connection.send_text(&subscription.to_frame()),
            Transport::Sse => {
                let request = sse::follow(&self.authority, subscription);
                slot.connection.send_request(&request)
            }
        };
        result.map_err(Error::system("subscribing"))?;
        Self::watch(&self.poll, at, slot).map_err(Error::system("watching a socket"))
    }

    /// Waits until so many subscriptions are confirmed.
    pub(crate) fn until_confirmed(&mut self, wanted: usize) -> Result<(), Error> {
        let start = Instant::now();
        while self.meter.confirmed < wanted && self.meter.failed == 0 && start.elapsed() < PATIENCE {
            self.turn(Duration::from_millis(10))?;
        }
        self.expect("subscribed", self.meter.confirmed, wanted, start)
    }

    fn expect(
        &mut self,
        what: &'static str,
        done: usize,
        wanted: usize,
        start: Instant,
    ) -> Result<(), Error> {
        if done >= wanted && self.meter.failed == 0 {
            return Ok(());
        }
        let reason = self.meter.failure.take().unwrap_or_else(|| "no answer".to_owned());
        Err(Error::Connections { what, done, wanted, seconds: start.elapsed().as_secs(), reason })
    }

    /// Stops or begins to read from connection `at`.
    pub(crate) fn set_reads(&mut self, at: usize, reads: bool) -> Result<(), Error> {
        let Some(slot) = self.connections.get_mut(at) else { return Ok(()) };
        slot.reads = reads;
        Self::watch(&self.poll, at, slot).map_err(Error::system("watching a socket"))
    }

    /// Serves the connections until `deadline`, or until `done` says so; whether it did.
    pub(crate) fn serve(
        &mut self,
        deadline: Instant,
        mut done: impl FnMut(&Meter) -> bool,
    ) -> Result<bool, Error> {
        loop {
            if done(&self.meter) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.turn(left.min(Duration::from_millis(100)))?;
        }
    }

    /// Waits once and serves what is ready.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<(), Error> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        self.poll.wait(timeout, &mut ready).map_err(Error::system("waiting for sockets"))?;
        for event in &ready {
            let Some(slot) = self.connections.get_mut(event.key) else { continue };
            if event.write {
                slot.connection.on_writable(&self.authority, &mut self.meter);
            }
            if event.read && !slot.connection.is_over() {
                slot.connection.on_readable(&mut self.buffer, &mut self.meter);
            }
            Self::watch(&self.poll, event.key, slot).map_err(Error::system("watching a socket"))?;
        }
        self.ready = ready;
        Ok(())
    }

    /// Tells the poll when what a connection waits for has changed.
    fn watch(poll: &Poll, key: usize, slot: &mut Slot) -> io::Result<()> {
        let wanted = match (slot.connection.wants_to_write(), slot.reads) {
            (true, _) => Interest::ReadWrite,
            (false, true) => Interest::Read,
            (false, false) => Interest::None,
        };
        let wanted = (!slot.connection.is_over()).then_some(wanted);
        if wanted == slot.interest {
            return Ok(());
        }
        slot.interest = wanted;
        match wanted {
            Some(wanted) => poll.change(slot.connection.stream(), key, wanted),
            // A socket whose other side is gone would be ready for ever.
            None => poll.remove(slot.connection.stream()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscribe<'a> {
    execution_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flush_window_ms: Option<u32>,
}

#[derive(Serialize)]
struct Command<'a> {
    r#type: &'static str,
    id: &'static str,
    payload: Subscribe<'a>,
}

impl Subscription<'_> {
    fn to_frame(self) -> String {
        let payload = Subscribe {
            execution_id: self.execution,
            from: self.from,
            flush_window_ms: self.flush_window_ms,
        };
        let command = Command { r#type: "subscribe_execution", id: "s", payload };
        serde_json::to_string(&command).unwrap_or_default()
    }
}

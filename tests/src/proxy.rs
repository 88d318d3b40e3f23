//! A way between clients and a server that goes wrong as it is told: it cuts at a byte, slices, stalls, and swallows.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What becomes of the bytes of one connection. The default lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// Of those from the client.
    pub up: Lane,
    /// Of those to the client.
    pub down: Lane,
}

/// What becomes of the bytes in one direction.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// How many bytes one write has at the most; `None` for as many as there are.
    pub slice: Option<usize>,
    /// After how many bytes what happens.
    pub fault: Option<(u64, Fault)>,
}

/// What happens to a connection.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It ends, as if both sides had closed it: what has passed still arrives.
    Cut,
    /// It ends by a reset: what has passed may be lost on the way as well.
    Reset,
    /// Nothing passes in this direction until the gate is opened.
    Stall(Gate),
    /// Whatever either side sends is swallowed from now on, and neither is told.
    Swallow,
}

/// Holds back what stalls until it is opened.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    /// Lets everything pass, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn opened(&self) {
        // Cannot fail: the sender is held here.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

impl Way {
    /// After `bytes` to the client comes `fault`.
    pub fn down(bytes: u64, fault: Fault) -> Self {
        Self { down: Lane { slice: None, fault: Some((bytes, fault)) }, ..Self::default() }
    }

    /// After `bytes` from the client comes `fault`.
    pub fn up(bytes: u64, fault: Fault) -> Self {
        Self { up: Lane { slice: None, fault: Some((bytes, fault)) }, ..Self::default() }
    }

    /// No write in either direction has more than `bytes`.
    #[must_use]
    pub fn sliced(mut self, bytes: usize) -> Self {
        (self.up.slice, self.down.slice) = (Some(bytes), Some(bytes));
        self
    }
}

/// Listens on a free port of the loopback and passes on what it gets, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

/// What is still to happen, and what has.
#[derive(Debug)]
struct Plan {
    server: Mutex<SocketAddr>,
    /// The ways of the next connections, the next one first.
    next: Mutex<VecDeque<Way>>,
    /// Of those for which there is none.
    usual: Mutex<Way>,
    connections: AtomicUsize,
    faults: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
}

impl Proxy {
    /// A way to the server at that address.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Plan {
            server: Mutex::new(server),
            next: Mutex::default(),
            usual: Mutex::default(),
            connections: AtomicUsize::new(0),
            faults: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, plan.clone()));
        Self { address, plan, accepting }
    }

    /// The way of the next connection that has none yet.
    pub fn next(&self, way: Way) {
        lock(&self.plan.next).push_back(way);
    }

    /// The way of every connection that has none of its own.
    pub fn usually(&self, way: Way) {
        *lock(&self.plan.usual) = way;
    }

    /// Leads to another server from now on. Connections that stand stay where they are.
    pub fn lead_to(&self, server: SocketAddr) {
        *lock(&self.plan.server) = server;
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.plan.connections.load(Ordering::Acquire)
    }

    /// How often something has happened to one.
    pub fn faults(&self) -> usize {
        self.plan.faults.load(Ordering::Acquire)
    }

    /// How many bytes from clients, and to them, have passed in all.
    pub fn passed(&self) -> (u64, u64) {
        (self.plan.up.load(Ordering::Acquire), self.plan.down.load(Ordering::Acquire))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, plan: Arc<Plan>) {
    // Connections end with the proxy.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        plan.connections.fetch_add(1, Ordering::AcqRel);
        let way = lock(&plan.next).pop_front().unwrap_or_else(|| lock(&plan.usual).clone());
        let plan = plan.clone();
        // However a connection ends, both sides see it.
        connections.spawn(async move { drop(connect(client, way, &plan).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, way: Way, plan: &Plan) -> io::Result<()> {
    let address = *lock(&plan.server);
    // While there is no server, its clients are closed the door on.
    let server = TcpStream::connect(address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut client_reads, mut client_writes) = client.into_split();
    let (mut server_reads, mut server_writes) = server.into_split();
    let happened = {
        let up = pass(&mut client_reads, &mut server_writes, way.up, &plan.up, &plan.faults);
        let down = pass(&mut server_reads, &mut client_writes, way.down, &plan.down, &plan.faults);
        tokio::pin!(up, down);
        tokio::select! {
            happened = &mut down => happened?,
            happened = &mut up => match happened? {
                // What the server still has to say to a client that says no more is passed on.
                None => down.await?,
                happened => happened,
            },
        }
    };
    match happened {
        Some(Fault::Reset) => {
            client_reads.reunite(client_writes).map_err(io::Error::other)?.set_zero_linger()?;
            server_reads.reunite(server_writes).map_err(io::Error::other)?.set_zero_linger()
        }
        Some(Fault::Swallow) => {
            tokio::join!(swallow(client_reads), swallow(server_reads));
            // Neither side hears that the other has gone.
            std::future::pending().await
        }
        _ => {
            // Closed while there is something to read it would be a reset, and that may overtake what has passed.
            drop((server_reads, server_writes));
            // Fails if the client has heard it already.
            let _ = client_writes.shutdown().await;
            swallow(client_reads).await;
            Ok(())
        }
    }
}

/// Takes whatever comes.
async fn swallow(mut reads: OwnedReadHalf) {
    let _ = tokio::io::copy(&mut reads, &mut tokio::io::sink()).await;
}

/// Passes bytes on until there are no more, which is `None`, or the connection ends by a fault.
async fn pass(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    lane: Lane,
    count: &AtomicU64,
    faults: &AtomicUsize,
) -> io::Result<Option<Fault>> {
    let mut buffer = vec![0; 16 << 10];
    let (mut passed, mut fault) = (0, lane.fault);
    loop {
        let mut most = lane.slice.unwrap_or(buffer.len()).clamp(1, buffer.len());
        match &fault {
            Some((after, _)) if *after > passed => most = most.min((*after - passed) as usize),
            Some((_, Fault::Stall(gate))) => {
                faults.fetch_add(1, Ordering::AcqRel);
                gate.opened().await;
                fault = None;
            }
            Some((_, what)) => {
                faults.fetch_add(1, Ordering::AcqRel);
                return Ok(Some(what.clone()));
            }
            None => {}
        }
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            to.shutdown().await?;
            return Ok(None);
        }
        passed += read as u64;
        // Counted first: who has got them all may ask at once how many they were.
        count.fetch_add(read as u64, Ordering::AcqRel);
        to.write_all(&buffer[..read]).await?;
        if lane.slice.is_some() {
            // The reader gets its turn before the next piece comes.
            tokio::task::yield_now().await;
        }
    }
}

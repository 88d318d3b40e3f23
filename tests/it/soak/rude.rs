//! Visitors who do what nobody should.

use std::{io, time::Duration};

use serde_json::json;
use streamnest_tests::random::Random;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::site::Site;

/// What they do.
pub(super) const KINDS: [&str; 8] = [
    "never_reads",
    "never_reads_events",
    "half_open",
    "resets_in_a_frame",
    "rubbish",
    "rubbish_in_a_socket",
    "never_authenticates",
    "never_asks",
];
/// How much longer than it may a connection may be seen on a machine that has much to do.
const MARGIN: Duration = Duration::from_secs(30);
/// Subscriptions to one run, so that more is owed than a socket holds.
const SUBSCRIPTIONS: usize = 60;

pub(super) async fn visit(site: &Site, number: u32) {
    let kind = number as usize % KINDS.len();
    // Whether the server was quicker than its visitor does not matter here: all of them go without a word.
    let gone = match kind {
        0 => never_read(site, number).await,
        1 => never_read_events(site, number).await,
        2 => half_open(site, number).await,
        3 => reset_in_a_frame(site, number).await,
        4 => rubbish(site, number).await,
        5 => rubbish_in_a_socket(site, number).await,
        6 => never_authenticate(site).await,
        _ => never_ask(site, number).await,
    };
    site.count(KINDS[kind]);
    if gone.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
        site.count("overstayed");
    }
}

/// Connects, with little room for what it does not read.
async fn connect(site: &Site) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    socket.connect(site.address).await
}

/// A WebSocket of this visitor, or of nobody, after its handshake.
async fn upgrade(site: &Site, number: Option<u32>) -> io::Result<TcpStream> {
    let mut stream = connect(site).await?;
    let mut head = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        site.address
    );
    if let Some(number) = number {
        head += &format!("authorization: {}\r\n", Site::bearer(&format!("rude-{number}"), "read"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    Ok(stream)
}

/// A text frame, masked by zeros.
fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81];
    match u8::try_from(length) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn subscribe(site: &Site, name: usize) -> Vec<u8> {
    let payload = json!({"executionId": &*site.current(), "subscription": format!("s{name}")});
    frame(&json!({"type": "subscribe_execution", "payload": payload}).to_string())
}

/// Reads whatever comes until the server has let go.
async fn until_let_go(site: &Site, mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1_024];
    let reading = async {
        while stream.read(&mut bytes).await? > 0 {}
        Ok(())
    };
    timeout(site.times.longest() + MARGIN, reading).await?
}

/// Wants a run many times over and takes nothing of it. It cannot see that the server lets go, for that stands behind what it
/// does not read; so it stays until that must have been.
async fn never_read(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = upgrade(site, Some(number)).await?;
    for name in 0..SUBSCRIPTIONS {
        stream.write_all(&subscribe(site, name)).await?;
    }
    sleep(site.times.longest()).await;
    stream.set_zero_linger()
}

/// The same as an event stream.
async fn never_read_events(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = connect(site).await?;
    let bearer = Site::bearer(&format!("rude-{number}"), "read");
    let head = format!(
        "GET /executions/{}/events HTTP/1.1\r\nhost: {}\r\nauthorization: {bearer}\r\n\r\n",
        site.current(),
        site.address
    );
    stream.write_all(head.as_bytes()).await?;
    sleep(site.times.longest()).await;
    stream.set_zero_linger()
}

/// Follows a run, and is as silent from then on as one whose machine has lost its network.
async fn half_open(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = upgrade(site, Some(number)).await?;
    stream.write_all(&subscribe(site, 0)).await?;
    until_let_go(site, stream).await
}

/// Leaves in the middle of a frame, by a reset.
async fn reset_in_a_frame(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = upgrade(site, Some(number)).await?;
    let frame = subscribe(site, 0);
    let cut = 1 + number as usize / KINDS.len() % (frame.len() - 1);
    stream.write_all(&frame[..cut]).await?;
    sleep(Duration::from_millis(20)).await;
    stream.set_zero_linger()
}

/// Bytes of all kinds.
fn noise(number: u32) -> Vec<u8> {
    let mut random = Random::new(number.into());
    (0..random.below(4_000)).map(|_| random.below(256) as u8).collect()
}

/// Says what is no HTTP.
async fn rubbish(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = connect(site).await?;
    stream.write_all(&noise(number)).await?;
    until_let_go(site, stream).await
}

/// Says what is no WebSocket.
async fn rubbish_in_a_socket(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = upgrade(site, Some(number)).await?;
    stream.write_all(&noise(number)).await?;
    until_let_go(site, stream).await
}

/// Never says who it is.
async fn never_authenticate(site: &Site) -> io::Result<()> {
    let stream = upgrade(site, None).await?;
    until_let_go(site, stream).await
}

/// Connects and says nothing, or begins a request that it does not end.
async fn never_ask(site: &Site, number: u32) -> io::Result<()> {
    let mut stream = connect(site).await?;
    if (number as usize / KINDS.len()).is_multiple_of(2) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").await?;
    }
    until_let_go(site, stream).await
}

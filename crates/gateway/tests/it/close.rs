//! Why and how connections are closed.

use std::time::{Duration, Instant};

use serde_json::json;
use streamnest_gateway::GatewayOptions;
use streamnest_log::{LogOptions, Retention};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    awake::Awake,
    engine::{say, token},
    rubbish::raw,
    server::{PATIENCE, Server},
    socket::Socket,
};

#[tokio::test]
async fn heartbeats_come_in_silence_and_pings_are_answered() {
    const COUNT: u32 = 10;
    let interval = Duration::from_millis(200);
    let options = GatewayOptions::default()
        .with_heartbeat_interval(interval)
        // Less than so many intervals: who answers is not closed.
        .with_pong_timeout(Duration::from_millis(1_500));
    let server = Server::with_options(options).await;
    let (since, awake) = (Instant::now(), Awake::begin());
    let mut socket = Socket::open(&server).await;
    let (mut heartbeats, mut pings) = (0, 0);
    while heartbeats < COUNT || pings < COUNT {
        match socket.message().await.unwrap() {
            Message::Text(text) => {
                assert_eq!(&*text, r#"{"type":"heartbeat","payload":{"positions":[]}}"#);
                heartbeats += 1;
            }
            Message::Ping(_) => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    let took = since.elapsed();
    println!("heartbeats={heartbeats} pings={pings} interval_ms=200 took_ms={}", took.as_millis());
    assert!(took >= heartbeats.max(pings) * interval, "{heartbeats} heartbeats, {pings} pings in {took:?}");
    let took = awake.elapsed();
    assert!(took < 2 * COUNT * interval, "{COUNT} of each in {took:?} of its own time");
}

/// The test has the one thread on which server and client run, and keeps it.
fn hold_up_the_server(time: Duration) {
    std::thread::sleep(time);
}

#[tokio::test]
async fn a_server_that_was_held_up_does_not_lay_it_to_its_clients() {
    let short = Duration::from_secs(1);
    let options = GatewayOptions::default()
        .with_heartbeat_interval(short / 5)
        .with_pong_timeout(short)
        .with_slow_reader_limit(short);
    let server = Server::with_options(options).await;
    let mut socket = Socket::open(&server).await;
    while !matches!(socket.message().await.unwrap(), Message::Ping(_)) {}
    // Its answer is on its way when the time is over.
    hold_up_the_server(2 * short);
    let mut pings = 0;
    while pings < 5 {
        match socket.message().await.unwrap() {
            Message::Ping(_) => pings += 1,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // And one that has much to read.
    let writer = server.held("a").await;
    let filler = "x".repeat(10_000);
    let mut behind = Socket::open(&server).await;
    behind.subscribe(json!({"executionId": "a"})).await;
    for _ in 0..1_000 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    // It blocks the socket.
    tokio::time::sleep(short / 4).await;
    hold_up_the_server(2 * short);
    let mut tokens = 0;
    while tokens < 1_000 {
        let frame = behind.next().await;
        tokens += u32::from(frame["type"] == "token");
    }
}

#[tokio::test]
async fn a_server_that_is_always_late_finds_who_answers_nothing_all_the_same() {
    let short = Duration::from_secs(1);
    let options = GatewayOptions::default().with_heartbeat_interval(short / 5).with_pong_timeout(short);
    let server = Server::with_options(options).await;
    let mut stream = raw(&server).await;
    let found = tokio::spawn(async move {
        let mut bytes = Vec::new();
        while !bytes.windows(2).any(|two| two == 4440_u16.to_be_bytes()) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "closed without a word");
        }
    });
    for _ in 0..20 {
        hold_up_the_server(short / 2);
        tokio::time::sleep(short / 50).await;
        if found.is_finished() {
            return found.await.unwrap();
        }
    }
    panic!("it was given its time again and again");
}

#[tokio::test]
async fn without_heartbeats_a_connection_is_silent_and_nobody_waits_for_pongs() {
    let options = GatewayOptions::default()
        .with_heartbeats(false)
        .with_heartbeat_interval(Duration::from_millis(20))
        .with_pong_timeout(Duration::from_millis(20));
    let server = Server::with_options(options).await;
    let (mut socket, _) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    assert_eq!(socket.expect("connected").await["payload"]["heartbeatMs"], 0);
    let silence = Duration::from_millis(300);
    assert!(tokio::time::timeout(silence, socket.message()).await.is_err(), "not a word, and still open");
}

#[tokio::test]
async fn who_answers_no_ping_is_closed_with_4440_after_the_interval_and_the_timeout() {
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_millis(300));
    let options = GatewayOptions::default().with_heartbeat_interval(interval).with_pong_timeout(timeout);
    let server = Server::with_options(options).await;
    let (since, awake) = (Instant::now(), Awake::begin());
    let mut stream = raw(&server).await;
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        while !bytes.windows(4).any(|frame| frame[0] == 0x88 && frame[2..] == 4440_u16.to_be_bytes()) {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "ended without a close frame");
        }
    })
    .await
    .expect("is closed");
    let found = since.elapsed();
    println!(
        "half_open_found_ms={} interval_and_timeout_ms={}",
        found.as_millis(),
        (interval + timeout).as_millis()
    );
    assert!(found >= interval + timeout, "it had its time: {found:?}");
    let found = awake.elapsed();
    assert!(found < interval + timeout + Duration::from_secs(2), "{found:?} of its own time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_closed_with_4441_between_two_frames() {
    let options = GatewayOptions::default()
        .with_slow_reader_limit(Duration::from_secs(1))
        // It is told when it reads, which is when the other one has all.
        .with_close_timeout(Duration::from_secs(600));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let mut stalled = Socket::open(&server).await;
    stalled.subscribe(json!({"executionId": "a"})).await;
    let mut reader = Socket::open(&server).await;
    reader.subscribe(json!({"executionId": "a"})).await;
    let filler = "x".repeat(1_000);
    let reading = tokio::spawn(async move {
        for sequence in 1..=20_001 {
            assert_eq!(reader.next().await["sequence"], sequence);
        }
        reader
    });
    for n in 0..20_000 {
        writer.append([token("generate", &format!("{n} {filler}"))]).await.unwrap();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let _reader = reading.await.unwrap();
    // The reader had all; the other one took nothing all the while.
    tokio::time::timeout(PATIENCE, writer.log().subscribers_become(|count| count == 1))
        .await
        .expect("is let go");
    let (code, frames) = stalled.until_close().await;
    assert_eq!(code, Some(4441));
    for (index, frame) in frames.iter().enumerate() {
        assert_eq!(frame["sequence"].as_u64(), Some(index as u64 + 1));
    }
    assert!(frames.len() < 20_000);
    // It resumes where it stopped, exactly.
    let mut again = Socket::open(&server).await;
    again.subscribe(json!({"executionId": "a", "from": frames.last().unwrap()["position"]})).await;
    for sequence in frames.len() as u64 + 1..=20_001 {
        assert_eq!(again.next().await["sequence"].as_u64(), Some(sequence));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_is_not_taken_for_one_that_does_not() {
    let options = GatewayOptions::default().with_slow_reader_limit(Duration::from_secs(1));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let filler = "x".repeat(10_000);
    for _ in 0..4_000 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    // Three times the limit, at 1.3 MB/s: in between the socket has room only now and then.
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..60 {
        socket.stream.get_mut().read_exact(&mut buffer).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(writer.log().subscribers(), 1, "it reads, and has not read all");
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Set for the process in which a test is alone.
#[cfg(target_os = "linux")]
const ALONE: &str = "STREAMNEST_TEST_ALONE";

/// Memory is the process's, so the test runs in one of its own.
#[cfg(target_os = "linux")]
#[test]
fn clients_that_never_read_take_no_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if std::env::var_os(ALONE).is_some() {
        return runtime.block_on(never_read());
    }
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "close::clients_that_never_read_take_no_memory", "--nocapture"]);
    let output = alone.env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(target_os = "linux")]
async fn never_read() {
    const CLIENTS: usize = 60;
    const TOKENS: usize = 40_000;
    const LOG: usize = 1 << 20;
    let retention = Retention::default().with_max_bytes(LOG);
    let server =
        Server::with(GatewayOptions::default(), LogOptions::default().with_retention(retention)).await;
    let writer = server.held("a").await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Socket::open(&server).await;
        // Named ones have bytes of their own.
        let mut payload = json!({"executionId": "a"});
        if n % 2 == 0 {
            payload["subscription"] = "s".into();
        }
        client.subscribe(payload).await;
        clients.push(client);
    }
    let before = resident_bytes();
    let filler = "x".repeat(1_000);
    for _ in 0..TOKENS {
        writer.append([token("generate", &filler)]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let grown = resident_bytes().saturating_sub(before);
    println!("grew by {} KiB", grown >> 10);
    // Twice the log's bound, for what the allocator keeps of what was freed.
    let bound = (2 * LOG + CLIENTS * (64 << 10)) as u64 + (2 << 20);
    assert!(grown < bound, "grew by {} KiB, over {} KiB", grown >> 10, bound >> 10);
    for client in &mut clients {
        let (mut next, mut gaps) = (1, 0);
        while gaps == 0 {
            let frame = client.next().await;
            match frame["type"].as_str() {
                Some("gap") => {
                    assert_eq!(frame["payload"]["from"], next);
                    gaps += 1;
                }
                _ => {
                    assert_eq!(frame["sequence"], next);
                    next += 1;
                }
            }
        }
    }
}

/// What the calling thread has computed (proc(5), `schedstat`: the first number, in nanoseconds).
#[cfg(target_os = "linux")]
fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Server and client share the test's one thread, so its time is theirs.
#[cfg(target_os = "linux")]
async fn computes_nothing_while_blocked(server: &Server, of_window: serde_json::Value) {
    let (windowed, writer) = (server.held("windowed").await, server.held("b").await);
    let mut stalled = Socket::open(server).await;
    stalled.subscribe(of_window).await;
    stalled.subscribe(json!({"executionId": "b", "from": "now"})).await;
    let filler = "x".repeat(100_000);
    // Both come in one turn: the one's time is set while the other blocks the socket.
    windowed.append([token("generate", "first")]).await.unwrap();
    for _ in 0..200 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = computed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = computed() - before;
    assert_eq!(writer.log().subscribers(), 1, "it is still waited for");
    assert!(writer.log().head().last.get() > 200);
    assert!(spent < Duration::from_millis(50), "{spent:?} of computing for a client that does not read");
    drop(stalled);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_does_not_read_costs_nothing_while_a_flush_window_is_over() {
    let server = Server::start().await;
    let windowed = json!({"executionId": "windowed", "from": "now", "flushWindowMs": 1_000});
    computes_nothing_while_blocked(&server, windowed).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_does_not_read_costs_nothing_while_a_wait_is_over() {
    let options = GatewayOptions::default().with_wait_timeout(Duration::from_secs(1));
    let server = Server::with_options(options).await;
    computes_nothing_while_blocked(&server, json!({"executionId": "never", "wait": true})).await;
}

#[tokio::test]
async fn a_close_of_the_client_is_answered() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 10).await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    socket.send_raw(Message::Close(Some(frame))).await;
    assert_eq!(socket.until_close().await.0, Some(1000));
    assert!(socket.message().await.is_err(), "the server ends the connection");
    assert_eq!(server.gateway.sockets().connections(), 0);
}

#[tokio::test]
async fn one_connection_too_many_is_told_when_to_come_back() {
    let server = Server::with_options(GatewayOptions::default().with_max_connections(2)).await;
    let mut first = Socket::open(&server).await;
    let _second = Socket::open(&server).await;
    server.held("a").await;
    let (mut third, _) = Socket::shake(&server, "/ws", &[]).await.unwrap();
    third.expect("connected").await;
    let Ok(Message::Close(Some(close))) = third.message().await else { panic!("is not closed") };
    assert_eq!((u16::from(close.code), &*close.reason), (4429, r#"{"retryAfterMs":1000}"#));
    server.get("/executions/a/events").await.error(503, "too_many_connections");
    first.send_raw(Message::Close(None)).await;
    first.until_close().await;
    while first.message().await.is_ok() {}
    Socket::open(&server).await;
}

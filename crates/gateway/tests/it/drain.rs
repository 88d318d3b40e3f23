//! Shutting down.

use std::time::{Duration, Instant};

use serde_json::json;
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::GatewayOptions;
use tokio::io::AsyncReadExt as _;
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    engine::{say, token},
    server::{PATIENCE, Server},
    socket::Socket,
};

/// Nobody waits for what may last so long: a test that did would not come to its end.
const LONG: Duration = Duration::from_secs(600);
/// What a client has for its answer to a close frame, on a machine that has much to do.
const CLOSE: Duration = Duration::from_secs(5);

fn options() -> GatewayOptions {
    GatewayOptions::default()
        .with_drain_grace(LONG)
        .with_drain_jitter(Duration::from_millis(200))
        .with_close_timeout(CLOSE)
}

#[tokio::test]
async fn a_run_comes_to_its_end_while_the_server_drains() {
    let mut server = Server::with_options(options()).await;
    let writer = server.held("a").await;
    let mut follower = Socket::open(&server).await;
    follower.subscribe(json!({"executionId": "a"})).await;
    follower.expect("status").await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    let mut idle = Socket::open(&server).await;
    assert_eq!(server.get("/readyz").await.status, 200);

    server.begin_to_stop();
    assert_eq!(idle.until_close().await.0, Some(1001), "who follows nothing is let go first");
    server.get("/readyz").await.error(503, "draining");
    assert_eq!(server.get("/healthz").await.status, 200);
    server.post("/workflows/echo/executions", r#"{"input":{}}"#).await.error(503, "draining");
    assert!(Socket::shake(&server, "/ws", &[]).await.is_err());
    follower.send(json!({"type": "start_execution", "payload": {"workflow": "echo", "input": {}}})).await;
    follower.expect_error("draining").await;

    say(&writer, 0, 3).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let (code, frames) = follower.until_close().await;
    assert_eq!(code, Some(1001));
    assert_eq!(frames.last().unwrap()["payload"]["status"], "completed", "the end comes before the close");
    let mut events = String::new();
    stream.read_to_string(&mut events).await.unwrap();
    assert!(events.contains(r#""status":"completed""#) && events.ends_with("0\r\n\r\n"), "{events}");
    // Nobody is waited for.
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_behind_still_gets_the_end_of_a_run_that_ended_in_time() {
    let mut server = Server::with_options(options().with_drain_jitter(Duration::from_secs(5))).await;
    let writer = server.held("a").await;
    let mut follower = Socket::open(&server).await;
    follower.subscribe(json!({"executionId": "a"})).await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    let reading = writer.log().subscribers_become(|count| count == 2);
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    // More than the sockets hold.
    let filler = "x".repeat(4_000);
    for _ in 0..4_000 {
        writer.append([token("generate", &filler)]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    server.begin_to_stop();
    // Long enough for a server that does not care to be gone.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut events = Vec::new();
    let ((code, frames), read) = tokio::join!(follower.until_close(), stream.read_to_end(&mut events));
    read.unwrap();
    assert_eq!(code, Some(1001));
    assert_eq!((frames.len(), &frames[4_001]["payload"]["status"]), (4_002, &json!("completed")));
    assert!(String::from_utf8(events).unwrap().contains(r#""status":"completed""#));
    server.stopped().await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_time_is_ended() {
    let server = Server::with_options(options().with_drain_grace(Duration::from_millis(200))).await;
    server.held("a").await;
    let mut follower = Socket::open(&server).await;
    follower.subscribe(json!({"executionId": "a"})).await;
    let mut stream = server.send("GET", "/executions/a/events", &[], "").await;
    let address = server.address;
    let (stopped, (code, _)) = tokio::join!(server.stopped(), follower.until_close());
    let () = stopped;
    assert_eq!(code, Some(1001));
    let mut events = Vec::new();
    stream.read_to_end(&mut events).await.unwrap();
    assert!(events.ends_with(b"0\r\n\r\n"), "an event stream ends properly, so that its reader comes back");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_follow_what_goes_on_do_not_all_leave_at_once() {
    // Far longer than a machine that has much to do keeps all of them waiting, who then leave together.
    let jitter = Duration::from_secs(8);
    let mut server =
        Server::with_options(options().with_drain_grace(Duration::from_millis(50)).with_drain_jitter(jitter))
            .await;
    server.held("a").await;
    let (mut sockets, mut streams) = (JoinSet::new(), JoinSet::new());
    for path in ["/executions/a/events", "/v1/stream/executions/a?offset=now&live=sse"].repeat(15) {
        let mut follower = Socket::open(&server).await;
        follower.subscribe(json!({"executionId": "a"})).await;
        sockets.spawn(async move {
            let (code, _) = follower.until_close().await;
            (code, Instant::now())
        });
        let mut stream = server.send("GET", path, &[], "").await;
        streams.spawn(async move {
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            Instant::now()
        });
    }
    server.begin_to_stop();
    let left: Vec<_> = sockets.join_all().await;
    assert!(left.iter().all(|(code, _)| *code == Some(1001)));
    for left in [left.into_iter().map(|(_, at)| at).collect(), streams.join_all().await] {
        let (first, last) = (left.iter().min().unwrap(), left.iter().max().unwrap());
        // Thirty random moments of that lie within a quarter of it once in 10^17.
        assert!(last.duration_since(*first) > jitter / 4, "all within {:?}", last.duration_since(*first));
    }
    server.stopped().await;
}

#[tokio::test]
async fn who_does_not_answer_the_close_is_dropped() {
    let options =
        options().with_drain_grace(Duration::from_millis(50)).with_close_timeout(Duration::from_millis(300));
    let server = Server::with_options(options).await;
    let mut mute = crate::rubbish::raw(&server).await;
    server.stopped().await;
    let mut rest = Vec::new();
    let _ = mute.read_to_end(&mut rest).await;
    assert!(rest.windows(2).any(|bytes| bytes == 1001_u16.to_be_bytes()), "it was told all the same");
}

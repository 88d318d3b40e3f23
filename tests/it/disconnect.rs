//! What becomes of a run when those who follow it leave: it goes on, or it is cancelled when the last one has been gone for the
//! grace time.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamnest::{Streamnest, gateway::GatewayOptions, runtime::EngineOptions};
use streamnest_tests::{
    awake::Awake,
    http::{self, EventStream},
    server::Server,
    socket::Socket,
    workflows::Steps,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

const GRACE: Duration = Duration::from_millis(300);
/// After how long a reader is taken for gone that does not answer.
const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(300);
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(15);

/// A server whose runs say two tokens and wait for `permits` before they say more.
struct World {
    server: Server,
    permits: Arc<Semaphore>,
}

impl World {
    /// As the options are: none of these clients answers while the test looks at another.
    async fn start() -> Self {
        Self::with(GatewayOptions::default(), GRACE).await
    }

    async fn with(gateway: GatewayOptions, grace: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let builder = Streamnest::builder()
            .workflow(Steps { permits: permits.clone() })
            .gateway_options(gateway)
            .engine_options(EngineOptions::default().with_disconnect_grace(grace));
        Self { server: Server::start(builder).await, permits }
    }

    /// Starts a run over HTTP.
    async fn run(&self, id: &str, on_disconnect: Option<&str>) {
        let mut body = json!({"executionId": id, "input": {"tokens": 3}});
        if let Some(choice) = on_disconnect {
            body["onDisconnect"] = choice.into();
        }
        let path = "/workflows/steps/executions";
        let (status, answer) = http::json(self.server.address, "POST", path, &[], Some(&body)).await;
        assert_eq!(status, 202, "{answer}");
    }

    async fn follow(&self, id: &str) -> Socket {
        let mut socket = Socket::connect(self.server.address).await;
        socket.subscribe(id, json!({})).await;
        socket
    }

    async fn shown(&self, id: &str) -> Value {
        http::json(self.server.address, "GET", &format!("/executions/{id}"), &[], None).await.1
    }

    /// Waits until an execution stands so.
    async fn becomes(&self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) {
        let stands = async {
            while !condition(&self.shown(id).await) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, stands).await.is_err() {
            panic!("`{id}` was to be {what}: {}", self.shown(id).await);
        }
    }

    async fn subscribers(&self, id: &str, count: usize) {
        self.becomes(id, "followed by so many", |shown| shown["subscribers"] == count).await;
    }

    async fn is_running(&self, id: &str) -> bool {
        self.shown(id).await["status"] == "running"
    }

    async fn cancelled(&self, id: &str) {
        self.becomes(id, "cancelled", |shown| shown["status"] == "cancelled").await;
    }

    /// Returns when the grace of everything that was left before has passed: a run that is left now is cancelled.
    async fn grace_passes(&self, id: &str) {
        self.run(id, Some("cancel")).await;
        let follower = self.follow(id).await;
        self.subscribers(id, 1).await;
        drop(follower);
        self.cancelled(id).await;
    }

    /// How an execution ended, as whoever comes later reads it.
    async fn end(&self, id: &str) -> Value {
        let entries = self.follow(id).await.entries().await;
        entries.last().unwrap()["payload"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_until_the_last_of_several_followers_has_been_gone_for_the_grace_time() {
    let world = World::start().await;
    world.run("kept", None).await;
    world.run("told", Some("continue")).await;
    world.run("left", Some("cancel")).await;
    drop((world.follow("kept").await, world.follow("told").await));
    let socket = world.follow("left").await;
    let address = world.server.address;
    let events = EventStream::open(address, "left", None).await.unwrap();
    let path = "/v1/stream/executions/left?offset=-1&live=sse";
    let (stream, connection) = http::request(address, "GET", path, &[], None).await;
    world.subscribers("left", 3).await;

    drop(socket);
    world.subscribers("left", 2).await;
    world.grace_passes("first").await;
    assert!(world.is_running("left").await, "two are left");
    drop(events);
    world.subscribers("left", 1).await;
    world.grace_passes("second").await;
    assert!(world.is_running("left").await, "one is left");
    let since = Instant::now();
    connection.abort();
    drop(stream);
    world.cancelled("left").await;
    assert!(since.elapsed() >= GRACE, "it had its grace: {:?}", since.elapsed());
    assert_eq!(world.end("left").await, json!({"status": "cancelled", "reason": "last subscriber is gone"}));

    // Those that nobody follows any longer than that go on, and come to their own end.
    world.permits.add_permits(1_000);
    for id in ["kept", "told"] {
        assert_eq!(world.end(id).await["status"], "completed", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_within_the_grace_time_finds_the_run_going_on_and_misses_nothing() {
    // Time to come back in, on a machine that is busy.
    let world = World::with(GatewayOptions::default(), 10 * GRACE).await;
    world.permits.add_permits(2);
    world.run("a", Some("cancel")).await;
    let mut socket = world.follow("a").await;
    let mut sequences = Vec::new();
    let position = loop {
        let frame = socket.next().await.unwrap();
        sequences.extend(frame["sequence"].as_u64());
        if frame["payload"]["content"] == "t1 " {
            break frame["position"].clone();
        }
    };
    drop(socket);
    world.subscribers("a", 0).await;
    let mut back = Socket::connect(world.server.address).await;
    back.subscribe("a", json!({"from": position})).await;
    world.grace_passes("control").await;
    assert!(world.is_running("a").await, "somebody came back in time");
    world.permits.add_permits(1);
    let entries = back.entries().await;
    assert_eq!(entries.last().unwrap()["payload"]["status"], "completed");
    sequences.extend(entries.iter().filter_map(|entry| entry["sequence"].as_u64()));
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_has_left_who_never_came_and_views_of_many_executions_do_not_count() {
    let world = World::start().await;
    let mut view = Socket::connect(world.server.address).await;
    view.send("subscribe_events", json!({"eventTypes": ["status"]})).await;
    view.expect("events_subscription_confirmed").await;
    world.run("lonely", Some("cancel")).await;
    // The view sees the control run end, which kept no view alive either.
    world.grace_passes("control").await;
    let told = async {
        loop {
            let frame = view.expect("status").await;
            if frame["executionId"] == "control" && frame["payload"]["status"] == "cancelled" {
                break;
            }
        }
    };
    timeout(PATIENCE, told).await.expect("the view is told");
    assert!(world.is_running("lonely").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_unsubscribes_has_left_though_the_connection_stays() {
    let world = World::start().await;
    let mut socket = Socket::connect(world.server.address).await;
    let start =
        json!({"workflow": "steps", "executionId": "a", "input": {"tokens": 3}, "onDisconnect": "cancel"});
    socket.send("start_execution", start).await;
    socket.expect("execution_started").await;
    socket.subscribe("a", json!({})).await;
    socket.subscribe("a", json!({"subscription": "second"})).await;
    socket.send("unsubscribe_execution", json!({"executionId": "a"})).await;
    socket.expect("unsubscription_confirmed").await;
    world.grace_passes("control").await;
    assert!(world.is_running("a").await, "its second subscription is left");
    socket.send("unsubscribe_execution", json!({"executionId": "a", "subscription": "second"})).await;
    socket.expect("unsubscription_confirmed").await;
    world.cancelled("a").await;
    socket.send("ping", json!({})).await;
    socket.expect("pong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_packets_vanish_has_left_when_it_is_found() {
    let gateway = GatewayOptions::default().with_heartbeat_interval(INTERVAL).with_pong_timeout(TIMEOUT);
    let world = World::with(gateway, GRACE).await;
    world.run("a", Some("cancel")).await;
    let socket = world.follow("a").await;
    world.subscribers("a", 1).await;
    let (since, awake) = (Instant::now(), Awake::begin());
    socket.unplug();
    world.cancelled("a").await;
    let (took, bound) = (since.elapsed(), INTERVAL + TIMEOUT + GRACE);
    println!("vanished_and_cancelled_ms={} bound_ms={}", took.as_millis(), bound.as_millis());
    // A ping that was on its way already counts from when it was sent.
    assert!(took >= GRACE, "{took:?}");
    let took = awake.elapsed();
    assert!(took < bound + PATIENCE / 5, "{took:?} of its own time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_to_start_it_says_what_becomes_of_it_and_who_attaches_does_not() {
    let world = World::start().await;
    world.run("a", None).await;
    world.run("a", Some("cancel")).await;
    world.run("b", Some("cancel")).await;
    world.run("b", None).await;
    drop((world.follow("a").await, world.follow("b").await));
    world.cancelled("b").await;
    assert!(world.is_running("a").await);
}

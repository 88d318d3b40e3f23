//! Whose something is, and since when, after a server was killed.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use streamnest::{
    core::{Clock, Event, ExecutionId, NodeName, Seq, Tenant, Timestamp, payload::Token},
    log::{Acknowledger, LogOptions, Registry},
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_tests::{http, program::Program, socket::Socket};

const SERVER: &str = env!("CARGO_BIN_EXE_steps-server");
const SECRET: &str = "a secret for these tests, of more than 32 bytes";
/// Longer than an unused name is kept.
const LONG_AGO: Duration = Duration::from_secs(8 * 24 * 3600);

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The header of one of the tenant `acme`.
fn bearer(subject: &str, scope: &str) -> String {
    let now = since_1970().as_secs();
    let claims = json!({"sub": subject, "tenant": "acme", "scope": scope, "iat": now, "exp": now + 3600});
    format!(
        "Bearer {}",
        encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    )
}

/// A clock that stopped long ago.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Leaves an execution `shared` of `acme` in which `worker` named a subscription long ago.
async fn prepare(directory: &Path) {
    let then = since_1970() - LONG_AGO;
    let clock = Arc::new(Stopped(Timestamp::from_micros(u64::try_from(then.as_micros()).unwrap())));
    let store = DiskStore::open(directory, clock.clone(), DiskOptions::default()).unwrap();
    let logs = Registry::new(Arc::new(store), clock, LogOptions::default());
    let acme = Tenant::new("acme").unwrap();
    let writer = logs.create(&"shared".parse::<ExecutionId>().unwrap().within(&acme)).await.unwrap();
    let token = Event::token(NodeName::new("write").unwrap(), &Token::default());
    let seq = writer.append([token]).await.unwrap();
    writer.durable(seq).await.unwrap();
    let worker = Acknowledger::User { key: format!("{acme}/worker"), uses_others: false };
    writer.log().acknowledge_durably("forgotten", Seq::FIRST, &worker).await.unwrap();
    logs.close().await;
}

async fn ask(server: SocketAddr, who: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut headers = vec![("authorization", who)];
    if body.is_none() {
        headers.push(("content-type", "application/json"));
    }
    let (status, answer) = http::json(server, method, path, &headers, body).await;
    (status.as_u16(), answer)
}

/// Acknowledges the only entry of `shared` under a name; the code of the error, if it is refused.
async fn acknowledge(server: SocketAddr, who: &str, name: &str) -> Option<String> {
    let mut socket = Socket::open(server, "/ws", &[("authorization", who)]).await.unwrap();
    socket.expect("connected").await;
    socket.subscribe("shared", json!({"events": ["event"]})).await;
    socket.send("ack", json!({"executionId": "shared", "subscription": name, "sequence": 1})).await;
    socket.send("ping", json!({})).await;
    let frame = socket.next().await.unwrap();
    frame["payload"]["code"].as_str().map(Into::into)
}

#[tokio::test]
async fn who_made_and_named_what_and_when_is_known_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let [data, secret, config] = ["data", "secret", "config.toml"].map(|name| folder.path().join(name));
    fs::write(&secret, SECRET).unwrap();
    fs::write(
        &config,
        "[gateway.streams]\nmax_streams_per_user = 2\n[logs]\nmax_subscriptions_per_user = 2\n",
    )
    .unwrap();
    let flags = ["--jwt-secret-file", secret.to_str().unwrap(), "--config", config.to_str().unwrap()];
    prepare(&data).await;
    let all = "read start cancel produce";
    let (ada, bob) = (bearer("ada", all), bearer("bob", all));
    let (worker, eve) = (bearer("worker", "read"), bearer("eve", "read"));
    let put = async |server, who: &str, path: &str| {
        ask(server, who, "PUT", &format!("/v1/stream/{path}"), None).await
    };
    let run = json!({"executionId": "run", "input": {"tokens": 1}});
    let start =
        async |server, who: &str| ask(server, who, "POST", "/workflows/steps/executions", Some(&run)).await;

    let first = Program::start_with(SERVER, &data, &flags).await;
    assert_eq!(start(first.address, &ada).await.0, 202);
    assert_eq!(acknowledge(first.address, &worker, "billing").await, None);
    // What is acknowledged as made comes after all that before, so that nothing of it is lost by the kill.
    for path in ["one", "two"] {
        assert_eq!(put(first.address, &ada, path).await.0, 201);
    }
    first.kill().await;

    let second = Program::start_with(SERVER, &data, &flags).await;
    let refused = put(second.address, &ada, "three").await.1;
    assert_eq!(refused["error"]["code"], "too_many_streams_of_user", "{refused}");
    assert_eq!(put(second.address, &bob, "three").await.0, 201);
    assert_eq!(ask(second.address, &ada, "DELETE", "/v1/stream/one", None).await.0, 204);
    assert_eq!(put(second.address, &ada, "four").await.0, 201, "what is deleted is nobody's any more");
    let (status, again) = start(second.address, &ada).await;
    assert_eq!((status, &again["attached"]), (202, &json!(true)), "{again}");
    assert_eq!(start(second.address, &bob).await.0, 409, "it is the execution of another");

    assert_eq!(acknowledge(second.address, &eve, "billing").await.unwrap(), "subscription_of_another");
    assert_eq!(acknowledge(second.address, &worker, "billing").await, None);
    // Two names are as many as one user may have: the one that nobody has used for long gives way, not the other.
    assert_eq!(acknowledge(second.address, &worker, "audit").await, None);
    let refused = acknowledge(second.address, &worker, "more").await.unwrap();
    assert_eq!(refused, "too_many_subscription_names_of_user");
    let (_, listed) = ask(second.address, &worker, "GET", "/executions/shared/subscriptions", None).await;
    let names: Vec<_> =
        listed["subscriptions"].as_array().unwrap().iter().map(|one| &one["subscription"]).collect();
    assert_eq!(names, ["audit", "billing"]);
}

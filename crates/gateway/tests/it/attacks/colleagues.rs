//! Whoever is in the same tenant already and may see a part of it, and who calls itself something like another.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, time::timeout};

use super::watch::Watch;
use crate::{
    engine::{id, say},
    server::{Answer, PATIENCE},
    socket::Socket,
    token::{bearer, token_with},
};

/// What only Ada may read, in a stream and in a run.
const WORDS: &str = "the words of ada";
const FIRST: usize = 700_000;
/// How long is waited for what must not come.
const A_WHILE: Duration = Duration::from_millis(200);

/// Ways that a reader of paths may take to Ada's stream, or to her run.
const PATHS: &[&str] = &[
    "/v1/stream/ada/secret",
    "/v1/stream/eve/../ada/secret",
    "/v1/stream/eve/own/../../ada/secret",
    "/v1/stream/eve/%2e%2e/ada/secret",
    "/v1/stream/eve/.%2e/ada/secret",
    "/v1/stream/eve%2F..%2Fada%2Fsecret",
    "/v1/stream/eve/%2E%2E%2Fada/secret",
    "/v1/stream/eve/..%5cada/secret",
    "/v1/stream/eve/%252e%252e/ada/secret",
    "/v1/stream/eve/%c0%ae%c0%ae/ada/secret",
    "/v1/stream//ada/secret",
    "/v1/stream/./ada/secret",
    "/v1/stream/ada%2Fsecret",
    "/v1/stream/%61da/secret",
    "/v1/stream/ada/secret/",
    "/v1/stream/ada/secret%00",
    "/v1/stream/ada/secret;/eve/own",
    "/v1/stream/ada/secret?path=eve/own",
    "/v1/stream/executions/../ada/secret",
    "/v1//stream/ada/secret",
    "/V1/stream/ada/secret",
    "http://localhost/v1/stream/ada/secret",
    "/v1/stream/executions/ada-1",
    "/v1/stream/executions/%61da-1",
    "/v1/stream/executions%2Fada-1",
    "/v1/stream/executions/./ada-1",
    "/v1/stream/executions/eve-1/../ada-1",
    "/v1/stream/executions/eve-1%2F..%2Fada-1",
    "/v1/stream/eve/../executions/ada-1",
    "/executions/%61da-1/events",
    "/executions/eve-1/../ada-1/events",
    "/executions/eve-1%2f..%2fada-1/events",
    "//executions/ada-1/events",
];

/// Whether something says a word of what only Ada may read.
fn tells(text: &str) -> bool {
    text.contains(WORDS) || text.contains(&FIRST.to_string())
}

/// An answer, and what comes with it: all of a refusal, and a while of what may have no end.
async fn read(watch: &Watch, path: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = watch.server.send("GET", path, headers, "").await;
    let mut came = Vec::new();
    let head = async {
        while !came.windows(4).any(|bytes| bytes == b"\r\n\r\n")
            && matches!(stream.read_buf(&mut came).await, Ok(1..))
        {}
    };
    timeout(PATIENCE, head).await.unwrap_or_else(|_| panic!("nothing answers {path}"));
    let rest = if came.starts_with(b"HTTP/1.1 4") { PATIENCE } else { A_WHILE };
    let _ = timeout(rest, stream.read_to_end(&mut came)).await;
    String::from_utf8_lossy(&came).into_owned()
}

pub(crate) async fn run(watch: &mut Watch) {
    let all = "read start cancel produce";
    let ada = bearer(&token_with("ada", json!({"tenant": "house", "scope": all})));
    let eve = bearer(&token_with(
        "eve",
        json!({"tenant": "house", "scope": all, "executions": "eve-*", "streams": "eve/*"}),
    ));
    let as_json = ("content-type", "application/json");
    let house = streamnest_core::Tenant::new("house").unwrap();
    for (who, run, first) in [(&ada, "ada-1", FIRST), (&eve, "eve-1", 800_000)] {
        let start = json!({"input": {}, "executionId": run}).to_string();
        let headers = [("authorization", &**who), as_json];
        let started = watch.server.ask("POST", "/workflows/held/executions", &headers, &start).await;
        assert_eq!(started.status, 202, "{started:?}");
        say(&watch.server.logs.writer(&id(run).within(&house)).unwrap(), first, first + 3).await;
    }
    for (who, path, text) in
        [(&ada, "/v1/stream/ada/secret", WORDS), (&eve, "/v1/stream/eve/own", "the words of eve")]
    {
        let headers = [("authorization", &**who), ("content-type", "text/plain")];
        assert_eq!(watch.server.ask("PUT", path, &headers, text).await.status, 201);
    }
    // Both are there for whom they are, so that what follows is refused for what is wrong.
    let own = [("authorization", &*eve)];
    for (path, words) in
        [("/v1/stream/eve/own", "the words of eve"), ("/v1/stream/executions/eve-1", "800000")]
    {
        assert!(watch.server.ask("GET", path, &own, "").await.body.contains(words), "{path}");
    }
    for path in ["/v1/stream/ada/secret", "/v1/stream/executions/ada-1"] {
        assert!(tells(&watch.server.ask("GET", path, &[("authorization", &ada)], "").await.body), "{path}");
    }
    paths(watch, &ada, &eve).await;
    forks(watch, &eve).await;
    positions(watch, &ada, &eve).await;
    subscriptions(watch, &eve).await;
    names(watch, &eve).await;
    subjects(watch).await;
}

async fn paths(watch: &mut Watch, ada: &str, eve: &str) {
    let headers = [("authorization", eve), ("content-type", "text/plain")];
    for path in PATHS {
        let came = read(watch, path, &headers).await;
        let is_refused = came.starts_with("HTTP/1.1 4") && !tells(&came);
        watch.took(format!("reading a colleague's at {path}"), true, is_refused).await;
        for (method, closes) in [("POST", "false"), ("POST", "true"), ("PUT", "true"), ("DELETE", "false")] {
            let headers = [headers[0], headers[1], ("stream-closed", closes)];
            watch.server.ask(method, path, &headers, "words of eve").await;
        }
    }
    let ada = [("authorization", ada)];
    let secret = watch.server.ask("GET", "/v1/stream/ada/secret", &ada, "").await;
    let is_whole = secret.body == WORDS && secret.header("stream-closed").is_none();
    watch.took("writing, closing and forgetting by all of these", true, is_whole).await;
    let run = watch.server.ask("GET", "/v1/stream/executions/ada-1", &ada, "").await;
    let is_whole = run.json().as_array().map(Vec::len) == Some(4) && run.header("stream-closed").is_none();
    watch.took("the same for a run", true, is_whole).await;
}

/// A fork holds what its source held.
async fn forks(watch: &mut Watch, eve: &str) {
    let stranger = bearer(&token_with("mallory", json!({"scope": "read produce"})));
    for (who, authorization, path) in
        [("a colleague", eve, "/v1/stream/eve/fork"), ("a stranger", &stranger, "/v1/stream/fork")]
    {
        for source in [
            "/v1/stream/ada/secret",
            "/v1/stream/eve/../ada/secret",
            "/v1/stream/%61da/secret",
            "/v1/stream/~ada/run-of-ada",
            "/v1/stream/executions/ada-1",
            "http://localhost/v1/stream/ada/secret",
        ] {
            let headers = [("authorization", authorization), ("stream-forked-from", source)];
            let made = watch.server.ask("PUT", path, &headers, "").await;
            let came = read(watch, path, &[("authorization", authorization)]).await;
            let is_refused = (400..500).contains(&made.status) && came.starts_with("HTTP/1.1 404");
            watch.took(format!("{who} forks {source}"), true, is_refused && !tells(&came)).await;
        }
    }
}

/// A position of a colleague's run, for a run of one's own.
async fn positions(watch: &mut Watch, ada: &str, eve: &str) {
    let entries = watch.server.ask("GET", "/v1/stream/executions/ada-1", &[("authorization", ada)], "").await;
    let foreign = entries.json()[1]["position"].as_str().unwrap().to_owned();
    let headers = [("authorization", eve), ("last-event-id", &*foreign)];
    let offset = format!("/v1/stream/executions/eve-1?offset={foreign}&live=long-poll");
    for (way, path, headers) in [
        ("as the last event", "/executions/eve-1/events", &headers[..]),
        ("waiting for more", &offset, &headers[..1]),
    ] {
        let came = read(watch, path, headers).await;
        // It is taken as one of its own, or as none; what comes is of its own run.
        let is_own = came.starts_with("HTTP/1.1 200") || came.starts_with("HTTP/1.1 4");
        watch.took(format!("a colleague's position {way}"), true, is_own && !tells(&came)).await;
    }
    let mut socket = open(watch, eve).await;
    socket
        .send(json!({"type": "subscribe_execution", "payload": {"executionId": "eve-1", "from": foreign}}))
        .await;
    let came = socket.next().await.to_string() + &all_of(&mut socket).await;
    watch.took("a colleague's position by a socket", true, !tells(&came)).await;
}

async fn open(watch: &Watch, authorization: &str) -> Socket {
    let headers = [("authorization", authorization)];
    let (mut socket, _) = Socket::shake(&watch.server, "/ws", &headers).await.unwrap();
    socket.expect("connected").await;
    socket
}

/// Every frame that comes within a while.
async fn all_of(socket: &mut Socket) -> String {
    let mut came = String::new();
    while let Ok(frame) = timeout(A_WHILE, socket.next()).await {
        came += &frame.to_string();
    }
    came
}

/// Every frame up to one that says this.
async fn up_to(socket: &mut Socket, words: &str) -> String {
    let mut came = String::new();
    while !came.contains(words) {
        came += &socket.next().await.to_string();
    }
    came
}

/// On a socket that follows a run of its own.
async fn subscriptions(watch: &mut Watch, eve: &str) {
    let mut socket = open(watch, eve).await;
    socket.subscribe(json!({"executionId": "eve-1", "subscription": "a"})).await;
    // The last that its run has said.
    assert!(up_to(&mut socket, "800002").await.contains("800000"));
    for (name, more) in [
        ("a second subscription", json!({"subscription": "b"})),
        ("the same name once more", json!({"subscription": "a"})),
        ("waiting", json!({"wait": true})),
        ("only what is to come", json!({"from": "now", "replay": "compact"})),
    ] {
        let ask = async |socket: &mut Socket, execution: &str| {
            let mut payload = json!({"executionId": execution});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            socket.send(json!({"type": "subscribe_execution", "payload": payload})).await;
            // Where the answer stands in time is no part of it.
            let mut answer = socket.next().await;
            answer.as_object_mut().unwrap().retain(|field, _| ["type", "payload"].contains(&&**field));
            answer.to_string().replace(execution, "ID")
        };
        let (hidden, absent) = (ask(&mut socket, "ada-1").await, ask(&mut socket, "ada-2").await);
        watch.took(format!("{name}, to a colleague's run: words"), absent, &hidden).await;
        let is_refused = hidden.contains("unknown_execution") || hidden.contains("\"waiting\"");
        watch.took(format!("{name}, to a colleague's run"), true, is_refused).await;
    }
    socket.send(json!({"type": "subscribe_events", "payload": {"eventTypes": ["token"]}})).await;
    let before = up_to(&mut socket, "events_subscription_confirmed").await;
    let house = streamnest_core::Tenant::new("house").unwrap();
    let writer = watch.server.logs.writer(&id("ada-1").within(&house)).unwrap();
    say(&writer, FIRST, FIRST + 1).await;
    let is_silent = !tells(&(before + &all_of(&mut socket).await));
    watch.took("what a colleague's run says afterwards, to all of these", true, is_silent).await;
}

/// What an id is answered that a colleague's run has, as one that is free.
async fn names(watch: &mut Watch, eve: &str) {
    let headers = [("authorization", eve), ("content-type", "application/json")];
    for (way, method, path, body) in [
        ("starting", "POST", "/workflows/held/executions", r#"{"input":{},"executionId":"ID"}"#),
        ("making", "PUT", "/v1/stream/executions/ID", ""),
        ("appending to", "POST", "/v1/stream/executions/ID", r#"{"type":"token"}"#),
        ("closing", "POST", "/v1/stream/executions/ID", ""),
        ("forgetting", "DELETE", "/v1/stream/executions/ID", ""),
        ("looking at", "HEAD", "/v1/stream/executions/ID", ""),
        ("answering", "POST", "/executions/ID/signals", r#"{"ask":"ask1","answer":{"publish":true}}"#),
    ] {
        let mut said = Vec::new();
        for execution in ["ada-1", "ada-2"] {
            let (path, body) = (path.replace("ID", execution), body.replace("ID", execution));
            let Answer { status, head, body } = watch.server.ask(method, &path, &headers, &body).await;
            let head: Vec<_> = head.lines().filter(|line| !line.starts_with("date:")).collect();
            let words = format!("{}\n{body}", head.join("\n")).replace(execution, "ID");
            said.push((status, words));
        }
        let came = said[0] == said[1] && [403, 404].contains(&said[0].0);
        watch.took(format!("{way} an id of a colleague's, as one that is free"), true, came).await;
    }
}

/// Who is called something that another reader may take for Ada, or for her tenant.
async fn subjects(watch: &mut Watch) {
    for claims in [
        json!({"tenant": "~ada"}),
        json!({"tenant": "%7Eada"}),
        json!({"tenant": "ada"}),
        json!({"tenant": "~ada/run-of-ada"}),
        json!({"tenant": "../~ada"}),
        json!({"tenant": "~ada\u{0}"}),
        json!({"sub": "ADA"}),
        json!({"sub": "ada "}),
        json!({"sub": "~ada"}),
        json!({"sub": "ada/"}),
        json!({"sub": "%61da"}),
        json!({"sub": "а\u{64}a"}),
    ] {
        let authorization = bearer(&token_with("eve", claims.clone()));
        for path in ["/executions/run-of-ada", "/v1/stream/executions/run-of-ada"] {
            let answer = watch.server.ask("GET", path, &[("authorization", &authorization)], "").await;
            let is_none = [401, 404].contains(&answer.status) && !answer.body.contains("running");
            watch.took(format!("{claims} reads {path}"), true, is_none).await;
        }
    }
    let listed = bearer(&token_with("eve", json!({"tenant": "~ada", "scope": "admin"})));
    let answer = watch.server.ask("GET", "/executions", &[("authorization", &listed)], "").await;
    let runs: Value = answer.json()["executions"].clone();
    watch.took("a list of another's by a name like hers", "[]", runs).await;
}

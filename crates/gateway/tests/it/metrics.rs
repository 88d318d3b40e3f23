//! What the operator sees.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use streamnest_core::payload::StatusUpdate;
use streamnest_gateway::{GatewayOptions, RateLimitOptions};
use streamnest_log::{LogOptions, Retention};

use crate::{
    engine::say,
    server::{PATIENCE, Server},
    socket::Socket,
    token::{bearer, options, token, token_with},
};

/// Every sample, by its name with its labels.
async fn samples(server: &Server) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[track_caller]
fn expect(samples: &BTreeMap<String, f64>, name: &str, expected: f64) {
    assert_eq!(samples.get(name), Some(&expected), "{name} of {samples:#?}");
}

#[tokio::test]
async fn connections_subscriptions_bytes_and_runs_are_counted() {
    let options = GatewayOptions::default().with_heartbeat_interval(Duration::from_millis(50));
    let server = Server::with_options(options).await;
    let writer = server.held("a").await;
    let (mut socket, idle) = (Socket::open(&server).await, Socket::open(&server).await);
    socket.subscribe(json!({"executionId": "a"})).await;
    let stream = server.send("GET", "/executions/a/events", &[], "").await;
    writer.log().subscribers_become(|count| count == 2).await;
    say(&writer, 0, 3).await;
    let all = samples(&server).await;
    expect(&all, "streamnest_connections{transport=\"websocket\"}", 2.0);
    expect(&all, "streamnest_connections{transport=\"sse\"}", 1.0);
    expect(&all, "streamnest_connected_total{transport=\"websocket\"}", 2.0);
    expect(&all, "streamnest_subscriptions", 1.0);
    expect(&all, "streamnest_runs", 1.0);
    expect(&all, "streamnest_token_entries_total", 3.0);
    expect(&all, "streamnest_logs", 1.0);
    // Of the server, its two WebSockets, its event stream, the request itself and the test.
    assert!(all["streamnest_tasks"] >= 5.0);
    assert!(all["streamnest_log_bytes"] > 0.0);
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let entries = socket.until_end().await;
    let position = entries[1]["position"].as_str().unwrap().to_owned();
    // Heartbeats add what was written.
    while samples(&server).await["streamnest_sent_bytes_total{transport=\"websocket\"}"] < 300.0 {
        socket.next().await;
    }
    drop((socket, idle, stream));
    let mut back = Socket::open(&server).await;
    back.subscribe(json!({"executionId": "a", "from": position})).await;
    back.until_end().await;
    let events = server.ask("GET", "/executions/a/events", &[("last-event-id", &position)], "").await;
    assert_eq!(events.status, 200);
    drop(back);
    let all = loop {
        let all = samples(&server).await;
        if all["streamnest_connections{transport=\"websocket\"}"] == 0.0 {
            break all;
        }
    };
    for transport in ["websocket", "sse"] {
        expect(&all, &format!("streamnest_resumes_total{{transport=\"{transport}\"}}"), 1.0);
        expect(&all, &format!("streamnest_reconnects_total{{transport=\"{transport}\"}}"), 1.0);
        assert!(all[&format!("streamnest_sent_bytes_total{{transport=\"{transport}\"}}")] > 0.0);
    }
    expect(&all, "streamnest_subscriptions", 0.0);
    expect(&all, "streamnest_runs", 0.0);
    expect(&all, "streamnest_token_entries_total", 3.0);
    expect(&all, "streamnest_run_duration_seconds_count{status=\"completed\"}", 1.0);
    expect(&all, "streamnest_first_token_seconds_count", 1.0);
    expect(&all, "streamnest_token_gap_seconds_count", 1.0);
    assert!(all["streamnest_lag_entries_count"] >= 1.0);
}

#[tokio::test]
async fn event_streams_are_looked_at_with_each_heartbeat_whatever_they_tell_and_to_whom() {
    for path in ["/executions/a/events", "/v1/stream/executions/a?offset=-1&live=sse"] {
        let options = GatewayOptions::default()
            .with_heartbeat_interval(Duration::from_millis(50))
            .with_heartbeats(false);
        let server = Server::with_options(options).await;
        let _writer = server.held("a").await;
        let _reader = server.send("GET", path, &[], "").await;
        let seen = async {
            while samples(&server).await["streamnest_lag_entries_count"] < 3.0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect(path);
        let all = samples(&server).await;
        expect(&all, "streamnest_lag_entries_bucket{le=\"0.0\"}", all["streamnest_lag_entries_count"]);
        assert!(all["streamnest_sent_bytes_total{transport=\"sse\"}"] > 0.0);
    }
}

#[tokio::test]
async fn refusals_closes_and_gaps_are_counted_by_what_they_are() {
    let limits = RateLimitOptions::unlimited().with_max_requests_per_connection(Some(2));
    let options = GatewayOptions::default().with_rate_limit(Some(limits)).with_max_bad_frames(2);
    let retention = Retention::default().with_max_entries(2);
    let server = Server::with(options, LogOptions::default().with_retention(retention)).await;
    server.get("/nowhere").await;
    server.ask("GET", "/executions", &[("host", "evil.example")], "").await;
    server.get("/executions/x").await;
    let writer = server.held("a").await;
    say(&writer, 0, 9).await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    socket.expect("gap").await;
    for _ in 0..3 {
        socket.send(json!({"type": "ping"})).await;
    }
    assert_eq!(socket.until_close().await.0, Some(4429));
    let all = samples(&server).await;
    for (code, count) in [
        ("not_found", 1.0),
        ("host_not_allowed", 1.0),
        ("unknown_execution", 1.0),
        ("too_many_messages", 2.0),
    ] {
        expect(&all, &format!("streamnest_refusals_total{{code=\"{code}\"}}"), count);
    }
    expect(&all, "streamnest_closes_total{code=\"4429\"}", 1.0);
    expect(&all, "streamnest_gaps_total{reason=\"trimmed\"}", 1.0);
}

#[tokio::test]
async fn only_who_operates_the_server_sees_how_it_fares() {
    let server = Server::with_options(options()).await;
    let operator = bearer(&token_with("root", json!({"scope": "operate"})));
    // Who may do everything within a tenant learns nothing of the others.
    let others = [
        bearer(&token("ada")),
        bearer(&token_with("ada", json!({"scope": "read start cancel produce admin"}))),
        bearer(&token_with("ada", json!({"scope": "read start cancel produce admin", "tenant": "other"}))),
    ];
    for path in ["/metrics", "/admin/statistics"] {
        server.get(path).await.error(401, "unauthenticated");
        for user in &others {
            let refused = server.ask("GET", path, &[("authorization", user)], "").await;
            assert!(refused.error(403, "forbidden").contains("it needs the scope `operate`"));
        }
        assert_eq!(server.ask("GET", path, &[("authorization", &operator)], "").await.status, 200, "{path}");
    }
    let (mut socket, _) = Socket::shake(&server, "/ws", &[("authorization", &operator)]).await.unwrap();
    socket.expect("connected").await;
    // Nor does the operator anything within a tenant.
    let listed = server.ask("GET", "/executions/a", &[("authorization", &operator)], "").await;
    listed.error(404, "unknown_execution");
    let statistics = server.ask("GET", "/admin/statistics", &[("authorization", &operator)], "").await.json();
    let expected: Value = json!({
        "draining": false,
        "connections": {"webSocket": 1, "eventStream": 0},
        "users": 1,
        "subscriptions": 0,
        "runs": 0,
        "tokenEntries": 0,
        "costNanoUsd": 0,
        "logs": 0,
        "logBytes": 0,
    });
    assert_eq!(statistics, expected);
}

#[tokio::test]
async fn every_metric_is_told_of_in_the_documentation() {
    let page = include_str!("../../../../docs/operation.md");
    let server = Server::start().await;
    server.get("/nowhere").await;
    let text = server.get("/metrics").await.body;
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert!(names.len() >= 15, "{names:?}");
    // Those that have no sample before something happens.
    let late = ["streamnest_gaps", "streamnest_closes", "streamnest_run_duration_seconds"];
    for name in names.into_iter().chain(late) {
        let name = name.split(' ').next().unwrap();
        assert!(page.contains(&format!("`{name}")), "docs/operation.md has no `{name}`");
    }
}

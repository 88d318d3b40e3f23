//! Nothing lost, nothing doubled, nothing in silence.

use serde_json::{Value, json};
use streamnest_core::{Seq, payload::StatusUpdate};
use streamnest_gateway::GatewayOptions;
use streamnest_log::{LogOptions, Retention};

use crate::{
    engine::{id, say},
    server::Server,
    socket::{Socket, sequences},
};

#[tokio::test]
async fn a_reader_resumes_at_every_position() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 18).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "from": "start"})).await;
    let all = socket.until_end().await;
    assert_eq!(sequences(&all), (1..=20).collect::<Vec<_>>());
    for (index, entry) in all.iter().enumerate().take(19) {
        let mut socket = Socket::open(&server).await;
        let confirmed = socket.subscribe(json!({"executionId": "a", "from": entry["position"]})).await;
        assert_eq!(confirmed["position"], entry["position"]);
        assert_eq!(socket.until_end().await, all[index + 1..]);
    }
    // After the end there is nothing, and it is said that it ended.
    let mut socket = Socket::open(&server).await;
    let confirmed = socket.subscribe(json!({"executionId": "a", "from": all[19]["position"]})).await;
    assert_eq!(confirmed["state"], "completed");
    assert!(socket.is_silent().await);
}

#[tokio::test]
async fn from_now_begins_after_what_is_there() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 5).await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "from": "now"})).await;
    say(&writer, 5, 6).await;
    assert_eq!(socket.expect("token").await["sequence"], 7);
}

#[tokio::test]
async fn what_retention_took_is_told_by_one_gap() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 50).await;
    writer.log().trim(Seq::try_from(40).unwrap()).unwrap();
    for name in [None, Some("s1")] {
        let mut payload =
            json!({"executionId": "a", "from": writer.log().position(Seq::try_from(3).unwrap())});
        name.into_iter().for_each(|name| payload["subscription"] = name.into());
        let mut socket = Socket::open(&server).await;
        socket.subscribe(payload).await;
        let gap = socket.expect("gap").await;
        let mut expected = json!({
            "executionId": "a", "from": 4, "to": 40, "reason": "trimmed",
            "position": writer.log().position(Seq::try_from(40).unwrap()),
        });
        name.into_iter().for_each(|name| expected["subscription"] = name.into());
        assert_eq!(gap["payload"], expected);
        for sequence in 41..=51 {
            assert_eq!(socket.expect("token").await["sequence"], sequence);
        }
        assert!(socket.is_silent().await, "the gap is told once");
    }
}

#[tokio::test]
async fn a_position_of_another_incarnation_is_told_by_a_gap() {
    let server = Server::start().await;
    let writer = server.held("a").await;
    say(&writer, 0, 2).await;
    let mut socket = Socket::open(&server).await;
    let stale = "0000000000000007_0000000000000002";
    socket.subscribe(json!({"executionId": "a", "from": stale})).await;
    let gap = socket.expect("gap").await;
    assert_eq!(gap["payload"]["reason"], "epoch");
    assert_eq!(socket.next().await["sequence"], 1);
}

#[tokio::test]
async fn a_reader_that_lags_is_told_what_it_missed_and_the_rest_comes_in_order() {
    let retention = Retention::default().with_max_entries(200);
    let server =
        Server::with(GatewayOptions::default(), LogOptions::default().with_retention(retention)).await;
    let writer = server.held("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a"})).await;
    // Far more than the socket holds while nobody reads it.
    let filler = "x".repeat(2_000);
    for n in 0..8_000 {
        writer.append([crate::engine::token("generate", &format!("{n}{filler}"))]).await.unwrap();
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let (mut next, mut gaps) = (1, 0);
    loop {
        let frame = socket.next().await;
        if frame["type"] == "gap" {
            gaps += 1;
            assert_eq!(frame["payload"]["from"].as_u64(), Some(next));
            next = frame["payload"]["to"].as_u64().unwrap() + 1;
            continue;
        }
        assert_eq!(frame["sequence"].as_u64(), Some(next), "lost, doubled or reordered");
        next += 1;
        if ended(&frame) {
            break;
        }
    }
    assert!(gaps > 0, "the log kept 200 of 8,000 entries");
    assert_eq!(server.logs.get(&id("a")).unwrap().head().last.get(), next - 1);
}

#[tokio::test]
async fn an_at_most_once_reader_is_moved_past_what_it_lags_behind() {
    let server =
        Server::with(GatewayOptions::default(), LogOptions::default().with_at_most_once_lag(10)).await;
    let writer = server.held("a").await;
    say(&writer, 0, 99).await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(json!({"executionId": "a", "delivery": "at-most-once"})).await;
    // A status is never passed over.
    assert_eq!(socket.expect("status").await["sequence"], 1);
    let gap = socket.expect("gap").await;
    let expected = json!([2, 90, "lagged"]);
    assert_eq!(json!([gap["payload"]["from"], gap["payload"]["to"], gap["payload"]["reason"]]), expected);
    assert_eq!(socket.expect("token").await["sequence"], 91);
}

fn ended(frame: &Value) -> bool {
    frame["type"] == "status" && frame["payload"]["status"] != "running"
}

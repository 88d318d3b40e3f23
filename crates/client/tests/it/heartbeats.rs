//! Servers that fall silent, and what they say while they live.

use std::time::{Duration, Instant};

use serde_json::json;
use streamnest_client::{Error, Item, SubscriptionState};
use streamnest_protocol::native::{Heartbeat, ReaderPosition, ServerFrame};

use crate::server::*;

fn heartbeat(seq: u64) -> ServerFrame {
    let at = ReaderPosition { execution_id: run(), subscription: None, position: position(seq) };
    ServerFrame::Heartbeat(Heartbeat { positions: vec![at] })
}

#[tokio::test]
async fn a_silent_server_is_left_after_two_and_a_half_heartbeats() {
    let server = Server::start(|number, mut talk| async move {
        // The second one may take long to say anything.
        let heartbeat_ms = if number == 1 { 400 } else { SELDOM };
        let (_, from) = talk.subscribed_with(heartbeat_ms, SubscriptionState::Running).await;
        if number == 1 {
            talk.entries(1..=2).await;
            // Its socket stays open, and says nothing.
            talk.gone().await;
        } else {
            talk.entries(from + 1..=LAST).await;
            talk.gone().await;
        }
    })
    .await;
    let begun = Instant::now();
    let mut subscription = server.connect().await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn how_long_a_silence_is_borne_can_be_said() {
    // 2.5 heartbeats would be 1 s, one is 400 ms.
    for (silent_heartbeats, least) in [(5.0, 2_000), (0.0, 400), (f64::NAN, 400)] {
        let server = Server::start(|number, mut talk| async move {
            let (_, from) = talk.subscribed_with(400, SubscriptionState::Running).await;
            if number > 1 {
                talk.entries(from + 1..=LAST).await;
            }
            talk.gone().await;
        })
        .await;
        let client = server.client().with_options(fast().with_silent_heartbeats(silent_heartbeats));
        // The silence begins while it connects.
        let begun = Instant::now();
        let mut subscription = client.subscribe(run()).connect().await.unwrap();
        assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
        assert!(
            begun.elapsed() >= Duration::from_millis(least),
            "{silent_heartbeats}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn heartbeats_alone_keep_a_connection() {
    let server = Server::start(|_, mut talk| async move {
        // The silence limit is 5 s; the heartbeats bridge 8.
        talk.subscribed_with(2_000, SubscriptionState::Running).await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            talk.send(&heartbeat(0), None).await;
        }
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_caller_that_was_away_does_not_take_a_living_server_for_dead() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed_with(200, SubscriptionState::Running).await;
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    // Longer than two and a half heartbeats.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_subscription_that_the_server_dropped_is_asked_for_again() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=3).await;
            talk.send(&ServerFrame::error("store_unavailable", "the log cannot be read", true), None).await;
            talk.send(&ServerFrame::Heartbeat(Heartbeat::default()), None).await;
        } else {
            talk.entries(from + 1..=LAST).await;
        }
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=3 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    assert_eq!(subscription.next().await.unwrap().unwrap_err().code(), "store_unavailable");
    assert_eq!(sequences(&mut subscription).await, (4..=LAST).collect::<Vec<_>>());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn without_a_filter_a_heartbeat_ahead_tells_of_a_lost_end() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=3).await;
            // Entries 4 and 5 were left out; no entry after them would show it.
            talk.send(&heartbeat(5), None).await;
        } else {
            talk.entries(from + 1..=LAST).await;
        }
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=3 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Hole { found, .. } if found == position(5)), "{error}");
    assert_eq!(sequences(&mut subscription).await, (4..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_the_program_sends_to_the_connection_is_given_and_what_is_new_is_skipped() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.raw(&text(r#"{"type":"hologram","payload":{}}"#)).await;
        talk.raw(&text(r#"{"type":"message","payload":{"a":1}}"#)).await;
        talk.raw(&[0x89, 0]).await;
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(subscription.connection_id(), Some("c1"));
    let Some(Ok(Item::Message(message))) = subscription.next().await else { panic!("expected a message") };
    assert_eq!(message, json!({"a": 1}));
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(subscription.connection_id(), None);
}

#[tokio::test]
async fn entries_of_another_run_or_subscription_are_not_given() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        let other = String::from_utf8(frames(1..=1).split_off(4)).unwrap();
        talk.raw(&text(&other.replace(RUN, "another"))).await;
        talk.raw(&text(&other.replace("}}", "},\"subscription\":\"s\"}"))).await;
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(subscription.statistics().duplicates, 0);
}

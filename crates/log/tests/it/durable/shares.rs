//! How many streams there may be, and how many of one user.

use std::time::Duration;

use streamnest_core::{Event, LogName, Status, payload::StatusUpdate};
use streamnest_log::{
    Error,
    durable::{Creation, StreamOptions},
};

use super::{World, close, data, name, producer, text};

fn execution(number: usize) -> LogName {
    LogName::new(&format!("executions/run{number}")).unwrap()
}

fn of(owner: &str) -> Creation {
    Creation { owner: Some(owner.into()), ..text() }
}

#[tokio::test]
async fn each_user_has_its_share_whatever_comes_and_goes() {
    let world = World::with(StreamOptions::default().with_max_streams(4).with_max_streams_per_user(2));
    let full = Error::TooManyStreamsOfUser { limit: 2 };
    for round in 0..3 {
        let first = world.make_as("a", of("ada")).await;
        let lifetime = Some(streamnest_core::Lifetime::Sliding(Duration::from_secs(60)));
        world.make_as("b", Creation { lifetime, ..of("ada") }).await;
        for _ in 0..2 {
            let refused = world.streams.create(&name("c"), of("ada")).await.unwrap_err();
            assert_eq!(refused.to_string(), full.to_string(), "round {round}");
        }
        assert!(world.streams.create(&name("a"), of("ada")).await.unwrap().existed, "it has that already");
        // One that is refused for another reason takes nothing of a share.
        let large = Creation { events: data(&"x".repeat(5 << 20)).events, ..of("eve") };
        assert!(matches!(world.streams.create(&name("d"), large).await, Err(Error::AppendTooLarge { .. })));
        let eves = [world.make_as("e", of("eve")).await, world.make_as("f", of("eve")).await];
        assert!(matches!(
            world.streams.create(&name("g"), text()).await,
            Err(Error::TooManyStreams { limit: 4 })
        ));
        world.streams.delete(&first).await.unwrap();
        world.clock.advance(Duration::from_secs(60));
        assert!(world.streams.get(&name("b")).await.is_err(), "its time is over");
        for eve in eves {
            world.streams.delete(&eve).await.unwrap();
        }
        assert_eq!((world.streams.len(), world.streams.bytes()), (0, 0));
    }
}

#[tokio::test]
async fn an_execution_that_has_ended_takes_no_place_and_is_known_all_the_same() {
    let world = World::with(StreamOptions::default().with_max_streams(2).with_max_streams_per_user(1));
    for number in 0..20 {
        let execution = execution(number);
        let made = world.streams.create(&execution, of("ada")).await.unwrap().stream;
        assert!(world.streams.create(&self::execution(99), of("ada")).await.is_err(), "it runs");
        let said = streamnest_log::durable::Append {
            events: vec![Event::named(None, streamnest_core::EventType::CUSTOM, &"said".into())],
            ..close()
        };
        let ends = streamnest_log::durable::Append { producer: producer("p", 0, 0), ..said };
        world.streams.append(&made, ends.clone()).await.unwrap();
        assert_eq!((world.streams.len(), world.streams.bytes()), (0, 0));
        // Who asks again is answered as before.
        let found = world.streams.get(&execution).await.unwrap();
        assert_eq!(found.facts(), made.facts());
        assert!(world.streams.append(&found, ends).await.unwrap().duplicate);
        assert!(matches!(world.streams.append(&found, data("x")).await, Err(Error::StreamClosed)));
        assert!(matches!(world.streams.create(&execution, of("ada")).await, Err(Error::StreamExists { .. })));
        assert_eq!(world.logs.get(&execution).unwrap().head().status, Some(Status::Completed));
    }
    let closed = Creation { closed: true, ..of("ada") };
    for number in 20..23 {
        assert!(!world.streams.create(&execution(number), closed.clone()).await.unwrap().existed);
        assert!(world.streams.create(&execution(number), closed.clone()).await.unwrap().existed);
    }
    assert_eq!(world.streams.len(), 0);
    for number in 0..23 {
        let found = world.streams.get(&execution(number)).await.unwrap();
        world.streams.delete(&found).await.unwrap();
        assert!(world.streams.get(&execution(number)).await.is_err());
    }
    assert_eq!(world.logs.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_somebody_else_ends_takes_no_place_a_moment_later() {
    let world = World::with(StreamOptions::default().with_max_streams_per_user(1));
    let first = execution(1);
    world.streams.create(&first, of("ada")).await.unwrap();
    let writer = world.logs.open(&first).await.unwrap().unwrap();
    let cancelled = StatusUpdate {
        status: Status::Cancelled,
        result: None,
        error: None,
        reason: Some("enough".into()),
        cost: None,
    };
    let ended = writer.close_with([Event::status(&cancelled)], Vec::new()).await.unwrap();
    writer.settled(ended).await.unwrap();
    let streams = world.streams.clone();
    let maintaining = tokio::spawn(async move { streams.maintain().await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!world.streams.create(&execution(2), of("ada")).await.unwrap().existed);
    assert!(world.streams.get(&first).await.is_ok());
    maintaining.abort();
}

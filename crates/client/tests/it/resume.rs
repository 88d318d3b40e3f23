//! Connections that end in the middle.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use streamnest_client::{CloseCode, Error, Gap, GapReason, Item, Position, Seq, StartAt, SubscriptionState};
use streamnest_core::{Epoch, LogIdentity};
use streamnest_protocol::native::{Heartbeat, ReaderPosition, Reconnect, ServerFrame};
use tokio::time::timeout;

use crate::server::*;

#[tokio::test]
async fn each_entry_comes_once_and_in_order_wherever_the_connection_is_cut() {
    let all = frames(1..=LAST);
    for cut in 0..all.len() {
        let server = Server::start(move |number, mut talk| async move {
            let (_, from) = talk.subscribed().await;
            let owed = frames(from + 1..=LAST);
            if number == 1 {
                talk.raw(&owed[..cut]).await;
            } else {
                talk.raw(&owed).await;
                talk.gone().await;
            }
        })
        .await;
        let mut subscription = server.connect().await;
        assert_eq!(
            sequences(&mut subscription).await,
            (1..=LAST).collect::<Vec<_>>(),
            "cut after byte {cut}"
        );
        let statistics = subscription.statistics();
        assert_eq!(
            (statistics.connections, statistics.reconnects, statistics.entries),
            (2, 1, LAST),
            "byte {cut}"
        );
        assert_eq!(statistics.duplicates, 0);
    }
}

#[tokio::test]
async fn a_connection_cut_again_and_again_still_brings_everything() {
    let server = Server::start(|_, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        talk.raw(&frames(from + 1..=from + 1)).await;
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    // Each brought something new, so the five attempts that are allowed in a row were never used up.
    assert_eq!(server.connections() as u64, LAST);
    assert_eq!(subscription.statistics().resumes, LAST - 1);
}

#[tokio::test]
async fn what_arrives_again_is_dropped() {
    let server = Server::start(|number, mut talk| async move {
        talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=3).await;
            talk.entries(2..=4).await;
        } else {
            // Resumes too early.
            talk.entries(1..=LAST).await;
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!(subscription.statistics().duplicates, 2 + 4);
}

#[tokio::test]
async fn a_hole_is_an_error_and_the_next_call_fetches_what_is_missing() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=2).await;
            talk.entries(4..=5).await;
        } else {
            talk.entries(from + 1..=LAST).await;
        }
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=2 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    let hole = subscription.next().await.unwrap().unwrap_err();
    assert!(
        matches!(hole, Error::Hole { after, found } if after == position(2) && found == position(4)),
        "{hole}"
    );
    assert_eq!(subscription.position(), position(2));
    assert_eq!(sequences(&mut subscription).await, (3..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_hole_that_stays_ends_the_subscription_in_the_end() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.entries(2..=3).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    let mut holes = 0;
    let last = loop {
        match subscription.next().await {
            Some(Err(Error::Hole { .. })) => holes += 1,
            other => break other.unwrap().unwrap_err(),
        }
    };
    assert_eq!(holes, 5);
    let Error::GaveUp { attempts: 5, last } = last else { panic!("{last}") };
    assert!(matches!(*last, Error::Hole { .. }));
    assert!(subscription.next().await.is_none());
    assert_eq!(server.connections(), 6);
}

#[tokio::test]
async fn it_comes_back_exactly_where_the_close_code_allows() {
    let codes = CloseCode::ALL.map(|code| (code.code(), code.reconnect()));
    let foreign = [1002, 1003, 1007, 1008, 1011, 1012, 4000].map(|code| (code, Reconnect::after(Some(code))));
    for (code, reconnect) in codes.into_iter().chain(foreign) {
        let server = Server::start(move |number, mut talk| async move {
            let (_, from) = talk.subscribed().await;
            if number == 1 {
                talk.entries(1..=2).await;
                talk.close(code, "as the test wishes").await;
            } else {
                talk.entries(from + 1..=LAST).await;
                talk.gone().await;
            }
        })
        .await;
        let mut subscription = server.connect().await;
        assert_eq!(an_entry(subscription.next().await).sequence.get(), 1);
        assert_eq!(an_entry(subscription.next().await).sequence.get(), 2);
        if matches!(reconnect, Reconnect::Jittered | Reconnect::AfterDelay) {
            assert_eq!(sequences(&mut subscription).await, (3..=LAST).collect::<Vec<_>>(), "{code}");
        } else {
            let error = subscription.next().await.unwrap().unwrap_err();
            let Error::Closed { code: Some(found), reason } = &error else { panic!("{code}: {error}") };
            assert_eq!((*found, reason.as_str()), (code, "as the test wishes"));
            assert!(!error.is_retryable());
            assert!(subscription.next().await.is_none(), "{code}");
            assert_eq!(server.connections(), 1, "{code}");
        }
    }
}

#[tokio::test]
async fn it_stays_away_for_as_long_as_a_limiting_server_asks() {
    let asked = Duration::from_millis(150);
    let server = Server::start(move |number, mut talk| async move {
        talk.subscribed().await;
        if number == 1 {
            talk.close(4429, &CloseCode::retry_after_reason(asked)).await;
        } else {
            talk.entries(1..=LAST).await;
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    let begun = Instant::now();
    assert_eq!(sequences(&mut subscription).await.len() as u64, LAST);
    assert!(begun.elapsed() >= asked, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn it_gives_up_after_so_many_attempts_that_bring_nothing() {
    let server = Server::start(|number, mut talk| async move {
        talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=1).await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    assert_eq!(an_entry(subscription.next().await).sequence.get(), 1);
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::GaveUp { attempts: 5, .. }), "{error}");
    assert!(error.to_string().contains("`ClientOptions::max_attempts`"));
    assert!(subscription.next().await.is_none());
    assert_eq!(server.connections(), 6);
}

#[tokio::test]
async fn a_subscription_from_now_resumes_where_now_was() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let server = Server::start(move |number, mut talk| {
        let heard = heard.clone();
        async move {
            talk.greet(SELDOM).await;
            let (request, subscribe) = talk.subscription().await;
            heard.lock().unwrap().push(subscribe.from);
            talk.confirm(&request, &subscribe, position(5), SubscriptionState::Running).await;
            if number == 2 {
                talk.entries(6..=LAST).await;
                talk.gone().await;
            }
        }
    })
    .await;
    let mut subscription = server.subscribe().from(StartAt::Now).connect().await.unwrap();
    assert_eq!(sequences(&mut subscription).await, [6, 7, 8]);
    // Entries may have come while it was away: not from now again.
    assert_eq!(*asked.lock().unwrap(), [Some(StartAt::Now), Some(StartAt::After(position(5)))]);
}

#[tokio::test]
async fn options_are_repeated_when_it_comes_back() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let server = Server::start(move |number, mut talk| {
        let heard = heard.clone();
        async move {
            let (subscribe, _) = talk.subscribed().await;
            heard.lock().unwrap().push(subscribe);
            if number == 2 {
                talk.gone().await;
            }
        }
    })
    .await;
    let subscribe = server.subscribe().events(["token"]).nodes(["n"]).subscription("s").wait();
    let subscribe =
        subscribe.delivery(streamnest_client::Delivery::AtMostOnce).flush_window(Duration::from_millis(20));
    let mut subscription = subscribe.connect().await.unwrap();
    while server.connections() < 2 || asked.lock().unwrap().len() < 2 {
        let _ = timeout(Duration::from_millis(5), subscription.next()).await;
    }
    let asked = asked.lock().unwrap();
    assert_eq!(
        (asked[0].events.as_slice(), asked[0].nodes.as_slice()),
        (&["token".into()][..], &["n".into()][..])
    );
    assert_eq!(asked[0].subscription.as_deref(), Some("s"));
    assert_eq!((asked[0].wait, asked[0].flush_window), (true, Some(Duration::from_millis(20))));
    let mut second = asked[1].clone();
    assert_eq!(second.from.take(), Some(StartAt::After(Position::BEFORE_FIRST)));
    assert_eq!(second, asked[0]);
}

#[tokio::test]
async fn a_gap_is_given_and_passed() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        if number == 1 {
            let gap = Gap {
                execution_id: run(),
                subscription: None,
                from: Seq::FIRST,
                to: position(4).seq(),
                reason: GapReason::Trimmed,
                position: position(4),
            };
            talk.send(&ServerFrame::Gap(gap), None).await;
        } else {
            assert_eq!(from, 4);
            talk.entries(5..=LAST).await;
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    let Some(Ok(Item::Gap(gap))) = subscription.next().await else { panic!("expected a gap") };
    assert_eq!((gap.from.get(), gap.to.get(), gap.reason), (1, 4, GapReason::Trimmed));
    assert_eq!(sequences(&mut subscription).await, [5, 6, 7, 8]);
    assert_eq!((subscription.statistics().gaps, subscription.statistics().resumes), (1, 1));
}

#[tokio::test]
async fn a_server_that_forgot_its_logs_is_told_by_a_gap_and_read_from_its_start() {
    let new = LogIdentity::new(&run(), Epoch::new(8));
    let server = Server::start(move |number, mut talk| {
        let new = new.clone();
        async move {
            talk.subscribed().await;
            if number == 1 {
                talk.entries(1..=3).await;
                return;
            }
            let gap = Gap {
                execution_id: run(),
                subscription: None,
                from: Seq::FIRST,
                to: Seq::BEFORE_FIRST,
                reason: GapReason::Epoch,
                position: new.position(Seq::BEFORE_FIRST),
            };
            talk.send(&ServerFrame::Gap(gap), None).await;
            talk.raw(&frames_of(&new, 1..=LAST)).await;
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=3 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    assert!(matches!(subscription.next().await, Some(Ok(Item::Gap(Gap { reason: GapReason::Epoch, .. })))));
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_abandoned_call_loses_nothing() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        for byte in frames(from + 1..=LAST).chunks(7).take(if number == 1 { 60 } else { usize::MAX }) {
            talk.raw(byte).await;
            tokio::task::yield_now().await;
        }
        if number > 1 {
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.connect().await;
    let mut sequences = Vec::new();
    loop {
        // Far shorter than what there is to wait for, so that nearly every call is dropped in the middle.
        match timeout(Duration::from_micros(20), subscription.next()).await {
            Ok(Some(item)) => sequences.push(an_entry(Some(item)).sequence.get()),
            Ok(None) => break,
            Err(_) => tokio::time::sleep(Duration::from_micros(50)).await,
        }
    }
    assert_eq!(sequences, (1..=LAST).collect::<Vec<_>>());
    // An abandoned call does not abandon the connection that it was opening.
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_stream_is_the_same() {
    let server = Server::start(|number, mut talk| async move {
        let (_, from) = talk.subscribed().await;
        let upto = if number == 1 { 3 } else { LAST };
        talk.entries(from + 1..=upto).await;
        if number > 1 {
            talk.gone().await;
        }
    })
    .await;
    let stream = server.connect().await.into_stream();
    let sequences: Vec<_> = stream.map(|item| an_entry(Some(item)).sequence.get()).collect().await;
    assert_eq!(sequences, (1..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn with_a_filter_a_heartbeat_moves_the_position() {
    let server = Server::start(|number, mut talk| async move {
        let (subscribe, from) = talk.subscribed().await;
        if number == 1 {
            talk.entries(2..=2).await;
            let at = ReaderPosition {
                execution_id: subscribe.execution_id,
                subscription: None,
                position: position(6),
            };
            talk.send(&ServerFrame::Heartbeat(Heartbeat { positions: vec![at] }), None).await;
        } else {
            assert_eq!(from, 6, "what does not pass the filter is not asked for again");
            talk.entries(LAST..=LAST).await;
            talk.gone().await;
        }
    })
    .await;
    let mut subscription = server.subscribe().events(["custom"]).connect().await.unwrap();
    assert_eq!(sequences(&mut subscription).await, [2, LAST]);
}

#[tokio::test]
async fn what_an_at_most_once_subscription_lost_with_its_connection_is_told_as_a_gap() {
    let server = Server::start(|number, mut talk| async move {
        talk.greet(SELDOM).await;
        let (request, subscribe) = talk.subscription().await;
        let name = subscribe.subscription.as_deref().unwrap().to_owned();
        let named = |range| {
            let mut bytes = Vec::new();
            streamnest_protocol::native::with_subscription(&frames(range), &name, &mut bytes).unwrap();
            bytes
        };
        if number == 1 {
            talk.confirm(&request, &subscribe, position(0), SubscriptionState::Running).await;
            talk.raw(&named(1..=2)).await;
            // Entries 3 and 4 are sent, and lost on the way.
        } else {
            assert_eq!(subscribe.from, Some(StartAt::After(position(2))));
            talk.confirm(&request, &subscribe, position(4), SubscriptionState::Running).await;
            talk.raw(&named(5..=LAST)).await;
            talk.gone().await;
        }
    })
    .await;
    let subscribe = server.subscribe().subscription("s").delivery(streamnest_client::Delivery::AtMostOnce);
    let mut subscription = subscribe.connect().await.unwrap();
    for sequence in 1..=2 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    let Some(Ok(Item::Gap(gap))) = subscription.next().await else { panic!("expected a gap") };
    assert_eq!((gap.from.get(), gap.to.get(), gap.reason), (3, 4, GapReason::Lagged));
    assert_eq!(sequences(&mut subscription).await, (5..=LAST).collect::<Vec<_>>());
}

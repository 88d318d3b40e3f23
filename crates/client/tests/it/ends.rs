//! How a subscription ends, and how it does not begin.

use std::time::{Duration, Instant};

use streamnest_client::{Client, Error, StartAt, SubscriptionState};
use streamnest_protocol::native::{ClientCommand, ServerFrame, StatusResponse, SubscriptionStatus};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
};

use crate::server::*;

#[tokio::test]
async fn it_ends_after_the_terminal_status_and_says_goodbye() {
    let (said, mut hears) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |_, mut talk| {
        let said = said.clone();
        async move {
            talk.subscribed().await;
            talk.entries(1..=LAST).await;
            talk.gone().await;
            said.send(()).await.unwrap();
        }
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=LAST {
        let entry = an_entry(subscription.next().await);
        assert_eq!(entry.sequence.get(), sequence);
        let status = entry.status().unwrap().map(|update| update.status.is_terminal());
        assert_eq!(status.unwrap_or_default(), sequence == LAST);
    }
    assert!(subscription.next().await.is_none());
    assert!(subscription.next().await.is_none());
    hears.recv().await.unwrap();
    assert_eq!(server.connections(), 1);
    assert_eq!(subscription.position(), position(LAST));
}

fn standing(subscriptions: Vec<(u64, u64)>) -> ServerFrame {
    let status = |(seq, lag)| SubscriptionStatus {
        execution_id: run(),
        subscription: None,
        position: position(seq),
        lag,
        state: SubscriptionState::Completed,
    };
    ServerFrame::StatusResponse(StatusResponse {
        connection_id: "c1".into(),
        connected_ms: 1,
        subscriptions: subscriptions.into_iter().map(status).collect(),
    })
}

#[tokio::test]
async fn the_end_of_a_finished_run_is_nothing() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed_with(SELDOM, SubscriptionState::Completed).await;
        let request = talk.request().await;
        assert!(matches!(request.command, ClientCommand::GetStatus));
        talk.send(&standing(vec![(LAST, 0)]), request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    for from in [StartAt::Now, StartAt::After(position(LAST))] {
        let mut subscription = server.subscribe().from(from).connect().await.unwrap();
        assert!(subscription.next().await.is_none());
    }
}

#[tokio::test]
async fn a_finished_run_is_read_to_its_end_whatever_the_server_says_of_its_own_place() {
    for places in [vec![(LAST, 0)], vec![(0, LAST)], vec![(3, 5)], vec![]] {
        let server = Server::start(move |_, mut talk| {
            let places = places.clone();
            async move {
                talk.subscribed_with(30, SubscriptionState::Completed).await;
                let request = talk.request().await;
                // Said before the entries arrive: the end must not be taken from it.
                talk.send(&standing(places), request.id.as_deref()).await;
                talk.entries(1..=LAST).await;
                talk.gone().await;
            }
        })
        .await;
        assert_eq!(sequences(&mut server.connect().await).await, (1..=LAST).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_execution_that_is_not_there_is_refused_in_the_servers_words() {
    let server = Server::start(|_, mut talk| async move {
        talk.greet(SELDOM).await;
        let request = talk.request().await;
        let refused = ServerFrame::error("unknown_execution", "there is no execution `x`", false);
        talk.send(&refused, request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    let error = server.subscribe().connect().await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("unknown_execution", false));
    assert!(error.to_string().contains("there is no execution `x`"));
}

#[tokio::test]
async fn an_execution_that_is_gone_when_it_comes_back_ends_it() {
    let server = Server::start(|number, mut talk| async move {
        if number == 1 {
            talk.subscribed().await;
            talk.entries(1..=2).await;
            return;
        }
        talk.greet(SELDOM).await;
        let request = talk.request().await;
        let retryable = number == 2;
        talk.send(&ServerFrame::error("unknown_execution", "gone", retryable), request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    for sequence in 1..=2 {
        assert_eq!(an_entry(subscription.next().await).sequence.get(), sequence);
    }
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "unknown_execution");
    assert!(subscription.next().await.is_none());
    assert_eq!(server.connections(), 3, "what may succeed later is tried again, the rest is not");
}

#[tokio::test]
async fn a_subscription_that_waited_too_long_asks_again_if_it_may() {
    let server = Server::start(|number, mut talk| async move {
        talk.greet(SELDOM).await;
        let (request, subscribe) = talk.subscription().await;
        assert!(subscribe.wait);
        talk.confirm(&request, &subscribe, position(0), SubscriptionState::Waiting).await;
        let refused = ServerFrame::error("unknown_execution", "it did not come", number == 1);
        talk.send(&refused, request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.subscribe().wait().connect().await.unwrap();
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "unknown_execution");
    assert!(subscription.next().await.is_none());
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_error_of_another_request_does_not_end_it() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.send(&ServerFrame::error("too_many_subscriptions", "too many", false), None).await;
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "too_many_subscriptions");
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_heard_of_at_once() {
    // Nobody listens there, and nobody else can take its port meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let error = Client::new(&url).unwrap().subscribe(run()).connect().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(url.ends_with(error.to_string().split(' ').nth(3).unwrap().trim_end_matches(';')), "{error}");
}

/// A server that answers every connection with `answer`, and then keeps it open, and how long its client waits.
async fn raw_server(answer: &'static [u8], patience: Duration) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            open.push(stream);
        }
    });
    Client::new(&url).unwrap().with_options(fast().with_connect_timeout(patience))
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_after_the_timeout() {
    let patience = Duration::from_secs(1);
    let client = raw_server(b"", patience).await;
    let begun = Instant::now();
    let error = client.subscribe(run()).connect().await.unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!(begun.elapsed() >= patience);
}

#[tokio::test]
async fn a_refused_upgrade_tells_the_status_and_what_the_server_said() {
    let refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\norigin";
    let error =
        raw_server(refusal, Duration::from_secs(60)).await.subscribe(run()).connect().await.unwrap_err();
    assert!(matches!(&error, Error::Upgrade { status: 403, body } if body == "origin"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn an_option_of_zero_is_refused_by_name_before_anything_is_sent() {
    let server = Server::start(|_, mut talk| async move { talk.gone().await }).await;
    for (name, options) in [
        ("connect_timeout", fast().with_connect_timeout(Duration::ZERO)),
        ("backoff", fast().with_backoff(Duration::ZERO)),
        ("max_backoff", fast().with_max_backoff(Duration::ZERO)),
        ("max_message_bytes", fast().with_max_message_bytes(0)),
    ] {
        let client = server.client().with_options(options.clone());
        let refused = [
            options.validate().unwrap_err(),
            client.subscribe(run()).connect().await.unwrap_err(),
            client.start("echo", serde_json::Value::Null).await.unwrap_err(),
        ];
        for error in refused {
            assert_eq!((error.code(), error.is_retryable()), ("invalid_option", false));
            assert!(error.to_string().contains(&format!("`ClientOptions::{name}`")), "{error}");
        }
    }
    assert_eq!(server.connections(), 0);
    fast().with_max_attempts(0).validate().unwrap();
}

#[tokio::test]
async fn a_message_over_the_limit_ends_it() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.raw(&text(&format!(r#"{{"type":"message","payload":"{}"}}"#, "x".repeat(5000)))).await;
        talk.gone().await;
    })
    .await;
    let client = server.client().with_options(fast().with_max_message_bytes(4096));
    let mut subscription = client.subscribe(run()).connect().await.unwrap();
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("connection_broke", false));
    assert!(subscription.next().await.is_none());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_ends_it() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.raw(&text(r#"{"type":"token","executionId":"e"}"#)).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Frame(_)), "{error}");
    assert!(subscription.next().await.is_none());
}

#[tokio::test]
async fn names_that_are_not_legal_are_told_before_anything_is_sent() {
    let server = Server::start(|_, _| async {}).await;
    for (subscribe, what) in [
        (server.subscribe().events(["a\nb"]), "event"),
        (server.subscribe().nodes(["a b"]), "node"),
        (server.subscribe().subscription("a b"), "subscription"),
        (server.subscribe().flush_window(Duration::from_secs(11)), "flush window"),
    ] {
        let error = subscribe.connect().await.unwrap_err();
        assert!(matches!(error, Error::Argument { what: found, .. } if found == what), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

//! Requests: start, cancel, acknowledge.

use std::sync::{Arc, Mutex};

use serde_json::json;
use streamnest_client::{Error, ExecutionStarted, Position};
use streamnest_protocol::native::{CancelAccepted, ClientCommand, ServerFrame};

use crate::server::*;

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_asked_for_again_under_the_same_id() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let server = Server::start(move |number, mut talk| {
        let heard = heard.clone();
        async move {
            talk.greet(SELDOM).await;
            let request = talk.request().await;
            let ClientCommand::StartExecution(start) = request.command else {
                panic!("{:?}", request.command)
            };
            let execution_id = start.execution_id.clone().unwrap();
            heard.lock().unwrap().push(start);
            if number == 2 {
                let position = Position::BEFORE_FIRST;
                let started = ExecutionStarted { execution_id, position, attached: true };
                talk.send(&ServerFrame::ExecutionStarted(started), request.id.as_deref()).await;
                talk.gone().await;
            }
        }
    })
    .await;
    let started = server.client().start("writer", json!({"prompt": "x"})).await.unwrap();
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|start| start.execution_id.as_ref() == Some(&started.execution_id)));
    assert_eq!((asked[1].workflow.as_str(), &asked[1].input), ("writer", &json!({"prompt": "x"})));
}

#[tokio::test]
async fn a_refused_start_is_not_tried_again() {
    let server = Server::start(|_, mut talk| async move {
        talk.greet(SELDOM).await;
        let request = talk.request().await;
        talk.send(&ServerFrame::error("too_many_executions", "full", true), request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    let error = server.client().start("writer", json!({})).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { code, retryable: true, .. } if code == "too_many_executions"),
        "{error}"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_cancel_carries_its_reason() {
    let server = Server::start(|_, mut talk| async move {
        talk.greet(SELDOM).await;
        let request = talk.request().await;
        let ClientCommand::CancelExecution { execution_id, reason } = request.command else { panic!() };
        assert_eq!(reason.as_deref(), Some("enough"));
        talk.send(&ServerFrame::CancelAccepted(CancelAccepted { execution_id }), request.id.as_deref()).await;
        talk.gone().await;
    })
    .await;
    server.client().cancel(run(), Some("enough")).await.unwrap();
}

#[tokio::test]
async fn an_acknowledgement_is_sent_at_once_and_again_after_a_lost_connection() {
    let (heard, mut hears) = tokio::sync::mpsc::channel(8);
    let server = Server::start(move |number, mut talk| {
        let heard = heard.clone();
        async move {
            let (subscribe, from) = talk.subscribed().await;
            let name = subscribe.subscription.as_deref().unwrap().to_owned();
            let named = |range| {
                let mut bytes = Vec::new();
                streamnest_protocol::native::with_subscription(&frames(range), &name, &mut bytes).unwrap();
                bytes
            };
            talk.raw(&named(from + 1..=from + 2)).await;
            while let Some(request) = talk.heard().await {
                let ClientCommand::Ack { subscription, sequence, .. } = request.command else { panic!() };
                heard.send((number, subscription.to_string(), sequence.get())).await.unwrap();
                if number == 1 {
                    return;
                }
                talk.raw(&named(from + 3..=LAST)).await;
            }
        }
    })
    .await;
    let mut subscription = server.subscribe().subscription("dashboard").connect().await.unwrap();
    let first = an_entry(subscription.next().await).sequence;
    let second = an_entry(subscription.next().await).sequence;
    subscription.acknowledge(second).await.unwrap();
    // Acknowledging less than before changes nothing.
    subscription.acknowledge(first).await.unwrap();
    assert_eq!(hears.recv().await.unwrap(), (1, "dashboard".into(), 2));
    assert_eq!(sequences(&mut subscription).await, (3..=LAST).collect::<Vec<_>>());
    assert_eq!(hears.recv().await.unwrap(), (2, "dashboard".into(), 2));
}

#[tokio::test]
async fn what_has_no_name_cannot_be_acknowledged() {
    let server = Server::start(|_, mut talk| async move {
        talk.subscribed().await;
        talk.entries(1..=1).await;
        talk.gone().await;
    })
    .await;
    let mut subscription = server.connect().await;
    let sequence = an_entry(subscription.next().await).sequence;
    let error = subscription.acknowledge(sequence).await.unwrap_err();
    assert!(error.to_string().contains("`Subscribe::subscription`"), "{error}");
}

//! Tokens: shown when a connection is opened, and renewed before they expire.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use streamnest_client::{Error, Item, Timestamp};
use streamnest_protocol::native::{
    AuthenticationSuccess, ClientCommand, Request, ServerFrame, TokenExpiring,
};

use crate::server::*;

/// Gives `token-1`, `token-2` and so on.
fn numbered()
-> (impl Fn() -> std::future::Ready<Result<String, streamnest_client::TokenError>>, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let counted = given.clone();
    let provider =
        move || std::future::ready(Ok(format!("token-{}", counted.fetch_add(1, Ordering::SeqCst) + 1)));
    (provider, given)
}

/// Three entries, and then that the token is about to expire. What the client asks for with its next one.
async fn asked_for_renewal(talk: &mut Talk) -> Request {
    talk.subscribed().await;
    talk.entries(1..=3).await;
    let expiring = TokenExpiring { expires_at: Timestamp::from_micros(1) };
    talk.send(&ServerFrame::TokenExpiring(expiring), None).await;
    let renewal = talk.request().await;
    let ClientCommand::Authentication { token } = &renewal.command else { panic!("{renewal:?}") };
    assert_eq!(token.reveal(), "token-2");
    renewal
}

async fn renewed(talk: &mut Talk, renewal: Request) {
    let success = AuthenticationSuccess { subject: "ada".into(), expires_at: Timestamp::from_micros(2) };
    talk.send(&ServerFrame::AuthenticationSuccess(success), renewal.id.as_deref()).await;
}

#[tokio::test]
async fn a_token_is_shown_as_a_header() {
    let server = Server::start(|_, mut talk| async move {
        assert_eq!(talk.authorization.as_deref(), Some("Bearer t.o.k"));
        talk.subscribed().await;
        talk.entries(1..=LAST).await;
        talk.gone().await;
    })
    .await;
    let client = server.client().with_token("t.o.k");
    let mut subscription = client.subscribe(run()).connect().await.unwrap();
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert!(!format!("{client:?}").contains("t.o.k"));
    let error = server.client().with_token("line\nbreak").subscribe(run()).connect().await.unwrap_err();
    assert_eq!(error.code(), "illegal_token");
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_in_place() {
    let server = Server::start(|_, mut talk| async move {
        let renewal = asked_for_renewal(&mut talk).await;
        renewed(&mut talk, renewal).await;
        talk.entries(4..=LAST).await;
        talk.gone().await;
    })
    .await;
    let (provider, given) = numbered();
    let client = server.client().with_token_provider(provider);
    let mut subscription = client.subscribe(run()).connect().await.unwrap();
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    assert_eq!((server.connections(), given.load(Ordering::SeqCst)), (1, 2));
    assert_eq!(subscription.statistics().reconnects, 0);
}

#[tokio::test]
async fn a_renewed_token_that_may_not_read_the_execution_ends_the_subscription_and_says_so() {
    let server = Server::start(|_, mut talk| async move {
        let renewal = asked_for_renewal(&mut talk).await;
        // In the order of the server: first what is not followed any more, then the answer.
        talk.send(
            &ServerFrame::error("forbidden", "token does not allow to read execution `run`", false),
            None,
        )
        .await;
        renewed(&mut talk, renewal).await;
        talk.gone().await;
    })
    .await;
    let client = server.client().with_token_provider(numbered().0);
    let mut subscription = client.subscribe(run()).connect().await.unwrap();
    for sequence in 1..=3 {
        let item = subscription.next().await;
        assert!(
            matches!(&item, Some(Ok(Item::Entry(entry))) if entry.sequence.get() == sequence),
            "{item:?}"
        );
    }
    let error = subscription.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("forbidden", false), "{error}");
    assert!(error.to_string().contains("does not allow to read"), "{error}");
    assert!(subscription.next().await.is_none(), "it has ended");
    assert_eq!((server.connections(), subscription.position().seq().get()), (1, 3));
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_replaced_where_there_is_another() {
    let script = |number, mut talk: Talk| async move {
        let (_, from) = talk.subscribed().await;
        if number == 1 {
            talk.entries(1..=3).await;
            talk.close(4401, "token has expired; get a new one").await;
        } else {
            assert_eq!(talk.authorization.as_deref(), Some("Bearer token-2"));
            talk.entries(from + 1..=LAST).await;
            talk.gone().await;
        }
    };
    let server = Server::start(script).await;
    let client = server.client().with_token_provider(numbered().0);
    let mut subscription = client.subscribe(run()).connect().await.unwrap();
    assert_eq!(sequences(&mut subscription).await, (1..=LAST).collect::<Vec<_>>());
    // One that never changes would not be taken again.
    let server = Server::start(script).await;
    let mut subscription = server.client().with_token("old").subscribe(run()).connect().await.unwrap();
    let mut last = None;
    while let Some(item) = subscription.next().await {
        last = Some(item);
    }
    assert!(matches!(last, Some(Err(Error::Closed { code: Some(4401), .. }))), "{last:?}");
}

#[tokio::test]
async fn a_provider_without_a_token_is_told_with_its_cause() {
    let server = Server::start(|_, _| async {}).await;
    let client = server.client().with_token_provider(|| async { Err("the vault is sealed".into()) });
    let error = client.subscribe(run()).connect().await.unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("the vault is sealed")), ("no_token", true));
}

//! Peers that are gone without a word.

use std::time::Duration;

use serde_json::json;
use streamnest::{Streamnest, gateway::GatewayOptions};
use streamnest_client::{Client, ClientOptions, Item};
use streamnest_tests::{
    proxy::{Fault, Proxy, Way},
    server::Server,
    socket::Socket,
    workflows::Steps,
};
use tokio::time::timeout;

/// Short, so that silence is heard soon.
const BEAT: Duration = Duration::from_millis(100);
/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

async fn server(beat: Duration) -> Server {
    let gateway = GatewayOptions::default()
        .with_heartbeat_interval(beat)
        .with_pong_timeout(2 * beat)
        .with_close_timeout(beat);
    Server::start(Streamnest::builder().workflow(Steps::default()).gateway_options(gateway)).await
}

#[tokio::test]
async fn a_server_that_is_swallowed_is_found_by_its_silence_and_the_client_resumes() {
    // Four beats are more than a machine that has much to do keeps everybody silent for: a second silence would be found too.
    let server = server(10 * BEAT).await;
    let proxy = Proxy::start(server.address).await;
    let run = server.app.start("steps", json!({"tokens": 40, "pause_ms": 20})).await.unwrap();
    // Long enough for the handshake and some entries.
    proxy.next(Way::down(2_000, Fault::Swallow));
    let options = ClientOptions::default().with_backoff(Duration::from_millis(1)).with_silent_heartbeats(4.0);
    let client = Client::new(&format!("http://{}", proxy.address)).unwrap().with_options(options);
    let mut subscription = client.subscribe(run.execution_id().clone()).connect().await.unwrap();
    let mut sequences = Vec::new();
    while let Some(item) = timeout(PATIENCE, subscription.next()).await.unwrap() {
        let Item::Entry(entry) = item.unwrap() else { panic!("nothing is missing") };
        sequences.push(entry.sequence.get());
    }
    assert_eq!(sequences, (1..=run.log().head().last.get()).collect::<Vec<_>>());
    assert_eq!((proxy.faults(), subscription.statistics().connections), (1, 2));
}

#[tokio::test]
async fn a_client_that_is_swallowed_is_found_by_its_silence_and_its_place_is_free() {
    let server = server(5 * BEAT).await;
    let proxy = Proxy::start(server.address).await;
    // All but the handshake from the client is swallowed, pongs too.
    proxy.next(Way::up(220, Fault::Swallow));
    let _socket = Socket::connect_silently(proxy.address).await;
    let sockets = server.app.sockets();
    let counted = |wanted: usize| {
        let sockets = sockets.clone();
        async move {
            while sockets.connections() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    timeout(PATIENCE, counted(1)).await.unwrap();
    timeout(PATIENCE, counted(0)).await.expect("who does not answer is closed");
}

//! The endpoint that sends back what it is sent.

use futures_util::{SinkExt as _, StreamExt as _};
use streamnest::Streamnest;
use streamnest_tests::{server::Server, workflows::Steps};
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[tokio::test]
async fn echo_sends_back_each_message_and_is_there_only_where_it_is_asked_for() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let url = format!("ws://{}/echo", server.address);
    let refused = connect_async(&url).await.unwrap_err();
    assert!(refused.to_string().contains("404"), "{refused}");

    server.app.gateway().echo();
    let (mut socket, _) = connect_async(&url).await.unwrap();
    for message in [Message::text("{\"type\":\"ping\"}"), Message::text("é"), Message::binary(vec![0, 255])]
    {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    // The limits are those of every connection.
    let over = streamnest::gateway::GatewayOptions::default().max_message_bytes + 1;
    socket.send(Message::binary(vec![0; over])).await.unwrap();
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!("it is closed") };
    assert_eq!(u16::from(close.code), 1009);
}

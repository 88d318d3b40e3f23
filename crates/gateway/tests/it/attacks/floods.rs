//! Too much of what is allowed, against a server with limits.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::json;
use streamnest_gateway::RateLimitOptions;
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::{self, Message};

use super::watch::Watch;
use crate::{
    engine::say,
    server::Server,
    socket::Socket,
    token::{bearer, options, token, token_with},
};

/// Does it so often; the status or close code of the last one.
async fn last_of<F: Future<Output = u16>>(times: usize, attempt: impl Fn(usize) -> F) -> u16 {
    let mut last = 0;
    for at in 0..times {
        last = attempt(at).await;
    }
    last
}

async fn limited(limits: RateLimitOptions) -> Server {
    let limits = limits.with_window(Duration::from_secs(600)).with_max_keys(64);
    Server::with_options(options().with_rate_limit(Some(limits)).with_max_bad_frames(3)).await
}

async fn status(server: &Server, path: &str, headers: &[(&str, &str)]) -> u16 {
    server.ask("GET", path, headers, "").await.status
}

/// What comes of an answer within a time.
async fn read_for(server: &Server, path: &str, headers: &[(&str, &str)], time: Duration) -> usize {
    let mut stream = server.send("GET", path, headers, "").await;
    let (mut bytes, mut piece) = (0, vec![0; 16 << 10]);
    let _ = tokio::time::timeout(time, async {
        while let Ok(read) = stream.read(&mut piece).await
            && read > 0
        {
            bytes += read;
        }
    })
    .await;
    bytes
}

pub(crate) async fn run(watch: &mut Watch) {
    let none = RateLimitOptions::unlimited;
    let eve = bearer(&token_with("eve", json!({"scope": "admin"})));
    let authorization = [("authorization", &*eve)];

    let server = limited(none().with_max_requests_per_user(Some(5))).await;
    let came = last_of(6, |_| status(&server, "/executions", &authorization)).await;
    watch.took("requests without end", 429, came).await;
    let came = last_of(6, async |at| {
        let address = format!("192.0.2.{at}");
        status(&server, "/executions", &[("authorization", &eve), ("x-forwarded-for", &address)]).await
    })
    .await;
    watch.took("requests from addresses that are made up", 429, came).await;
    let came = last_of(6, async |at| {
        let forged = bearer(&format!("{}{at}", token("ada")));
        let address = format!("for=192.0.2.{at}");
        status(&server, "/executions", &[("authorization", &forged), ("forwarded", &address)]).await
    })
    .await;
    watch.took("guessing tokens", 429, came).await;
    let came = status(&server, "/executions", &[("authorization", &bearer(&token("ada")))]).await;
    watch.took("who is left alone by all that", 200, came).await;
    let came = last_of(200, async |at| {
        let subject = bearer(&token(&format!("subject-{at}")));
        status(&server, "/executions", &[("authorization", &subject)]).await
    })
    .await;
    watch.took("more subjects than are remembered", 429, came).await;

    let server = limited(none().with_max_connections(Some(5))).await;
    let came = last_of(6, async |at| match Socket::shake(&server, "/ws", &authorization).await {
        Ok((mut socket, _)) if at < 5 => {
            socket.expect("connected").await;
            socket.send(json!({"type": "ping"})).await;
            socket.expect("pong").await;
            101
        }
        Ok((mut socket, _)) => socket.until_close().await.0.unwrap_or(0),
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    })
    .await;
    watch.took("connections without end", 4429, came).await;
    let came = status(&server, "/executions/x/events", &authorization).await;
    watch.took("the same as event streams, of nothing", 404, came).await;

    let server = limited(none().with_max_requests_per_connection(Some(5))).await;
    for (name, message) in [
        ("messages without end", Message::text(r#"{"type":"ping"}"#)),
        ("pings without end", Message::Ping("x".into())),
        ("rubbish without end", Message::binary(vec![0; 8])),
    ] {
        let (mut socket, _) = Socket::shake(&server, "/ws", &authorization).await.unwrap();
        for _ in 0..9 {
            if socket.stream.send(message.clone()).await.is_err() {
                break;
            }
        }
        let (code, _) = socket.until_close().await;
        let expected = if name.starts_with("rubbish") { 4400 } else { 4429 };
        watch.took(name, expected, code.unwrap_or(0)).await;
    }

    // Each reads a run anew, or waits for one.
    let json = [("authorization", &*eve), ("content-type", "application/json")];
    let start = r#"{"input":{},"executionId":"many"}"#;
    assert_eq!(watch.server.ask("POST", "/workflows/held/executions", &json, start).await.status, 202);
    for (wait, execution, expected) in [
        (false, "many", "too_many_subscriptions after 64"),
        (true, "nothing", "too_many_waiting_subscriptions after 8"),
    ] {
        let (mut socket, _) = Socket::shake(&watch.server, "/ws", &authorization).await.unwrap();
        socket.expect("connected").await;
        let mut confirmed = 0;
        let code = loop {
            let name = format!("s{confirmed}");
            let payload =
                json!({"executionId": execution, "wait": wait, "subscription": name, "from": "now"});
            socket.send(json!({"type": "subscribe_execution", "payload": payload})).await;
            match socket.next().await {
                frame if frame["type"] == "subscription_confirmed" => confirmed += 1,
                frame => break frame["payload"]["code"].as_str().unwrap_or_default().to_owned(),
            }
        };
        watch.took("subscriptions without end", expected, format!("{code} after {confirmed}")).await;
    }

    let server = limited(none().with_max_executions_per_user(Some(5))).await;
    let came = last_of(6, async |_| {
        server.ask("POST", "/workflows/held/executions", &json, r#"{"input":{}}"#).await.status
    })
    .await;
    watch.took("executions without end", 429, came).await;
    let made = server.ask("PUT", "/v1/stream/executions/more", &json, "").await.status;
    watch.took("the same by another door", 429, made).await;

    let limits = none().with_replay_bytes_per_second(Some(1 << 10));
    let server =
        Server::with_options(options().with_rate_limit(Some(limits)).with_max_write_bytes(32 << 10)).await;
    server.ask("PUT", "/v1/stream/executions/long", &json, "").await;
    let own = crate::engine::id("long").within(&streamnest_core::Tenant::of_subject("eve").unwrap());
    say(&server.logs.writer(&own).unwrap(), 0, 400).await;
    let came = last_of(3, |_| status(&server, "/v1/stream/executions/long", &authorization)).await;
    watch.took("reading again without end", 429, came).await;
    // At a kilobyte a second nothing more comes for half a minute.
    for door in ["/executions/long/events", "/v1/stream/executions/long?offset=-1&live=sse"] {
        let mut bytes = 0;
        for _ in 0..5 {
            bytes += read_for(&server, door, &authorization, Duration::from_millis(50)).await;
        }
        watch.took(format!("reading again without end, {door}"), true, bytes < 8 << 10).await;
    }
    let (mut socket, _) = Socket::shake(&server, "/ws", &authorization).await.unwrap();
    socket.expect("connected").await;
    socket.subscribe(json!({"executionId": "long"})).await;
    let entry = tokio::time::timeout(Duration::from_millis(50), socket.next()).await;
    watch.took("reading again without end, a WebSocket", true, entry.is_err()).await;

    for (door, name) in [
        ("/executions/run/events", "event streams that stay"),
        ("/v1/stream/executions/run?offset=-1&live=sse", "event streams of a stream that stay"),
    ] {
        let server = Server::with_options(options().with_max_connections(3)).await;
        server.ask("PUT", "/v1/stream/executions/run", &json, "").await;
        let (mut held, mut came) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let mut stream = server.send("GET", door, &authorization, "").await;
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.unwrap();
            came.push(String::from_utf8_lossy(&head[9..]).into_owned());
            held.push(stream);
        }
        watch.took(name, "200 200 200 503 503 503", came.join(" ")).await;
    }

    let server = Server::with_options(options().with_max_connections_per_address(Some(3))).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        // They never send their head.
        held.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    let came = loop {
        // They may not all be accepted yet.
        let status = server.get("/healthz").await.status;
        if status == 429 {
            break status;
        }
    };
    watch.took("connections that say nothing", 429, came).await;
    drop(held);
    for path in ["/metrics", "/admin/statistics"] {
        for (who, claims) in [
            ("a user", json!({})),
            ("whoever administers a tenant", json!({"tenant": "other", "scope": "admin"})),
            ("every scope but the one", json!({"scope": "read start cancel produce admin"})),
        ] {
            let user = bearer(&token_with("eve", claims));
            let came = status(&watch.server, path, &[("authorization", &user)]).await;
            watch.took(format!("how the server fares, {path}, by {who}"), 403, came).await;
        }
    }
}

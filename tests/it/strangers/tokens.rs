//! Tokens: where they may stand, for how long they are good, and what ends with them.

use std::{fs, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::json;
use streamnest_tests::{http, program::Program, socket::Socket};

use super::{SERVER, ask, bearer, folder, program, seconds, token};

/// Starts a run of so many tokens, with a pause between them.
async fn start(program: &Program, id: &str, authorization: &str, (tokens, pause): (u32, Duration)) {
    let pause = u64::try_from(pause.as_millis()).unwrap();
    let body = json!({"executionId": id, "input": {"tokens": tokens, "pause_ms": pause}});
    let headers = [("authorization", authorization)];
    let path = "/workflows/steps/executions";
    let (status, answer) = http::json(program.address, "POST", path, &headers, Some(&body)).await;
    assert_eq!(status, 202, "{answer}");
}

async fn open(program: &Program, token: &str) -> Socket {
    let headers = [("authorization", &*format!("Bearer {token}"))];
    let mut socket = Socket::open(program.address, "/ws", &headers).await.unwrap();
    socket.expect("connected").await;
    socket
}

async fn is_heard(socket: &mut Socket) {
    socket.send("ping", json!({})).await;
    socket.expect("pong").await;
}

#[tokio::test]
async fn a_token_may_stand_where_the_flags_say_and_stands_in_no_log() {
    let folder = folder();
    let secret = folder.path().join("secret");
    let log = folder.path().join("log");
    let flags = [
        "--jwt-secret-file",
        secret.to_str().unwrap(),
        "--jwt-cookie",
        "session",
        "--jwt-query-parameter",
        "--allow-origin",
        "https://app.example.org",
    ];
    let data = folder.path().join("data");
    let program = Program::start_logging(SERVER, &data, &flags, fs::File::create(&log).unwrap()).await;
    let (address, own) = (program.address, format!("http://{}", program.address));
    let good = token("ada", 3600, &json!({}));
    let bad = format!("{}x", token("eve", 3600, &json!({})));
    let mut tickets = Vec::new();
    for (token, taken) in [(&good, true), (&bad, false)] {
        let (header, cookie) = (format!("Bearer {token}"), format!("session={token}"));
        let statuses = |good| if taken { good } else { 401 };
        let get =
            async |path: &str, headers: &[(&str, &str)]| ask(address, "GET", path, headers, None).await.0;
        assert_eq!(get("/executions", &[("authorization", &header)]).await, statuses(200));
        assert_eq!(get(&format!("/executions?access_token={token}&limit=1"), &[]).await, statuses(200));
        // A path that is not there is told without what stood behind it.
        assert_eq!(get(&format!("/nowhere?access_token={token}"), &[]).await, statuses(404));
        for (page, expected) in [
            (Some(own.as_str()), statuses(200)),
            (Some("https://app.example.org"), statuses(200)),
            (Some("https://evil.example"), 403),
            (Some("null"), 403),
            (None, 403),
        ] {
            let mut headers = vec![("cookie", &*cookie)];
            headers.extend(page.map(|page| ("origin", page)));
            assert_eq!(get("/executions", &headers).await, expected, "{page:?}");
            let opened = Socket::open(address, "/ws", &headers).await;
            match opened {
                Ok(mut socket) if taken => is_heard(&mut socket).await,
                Ok(mut socket) => assert_eq!(socket.closed().await.unwrap().0, 4401),
                Err(status) => assert_eq!((status, expected), (403, 403), "{page:?}"),
            }
        }
        let protocols = format!("streamnest.v1, bearer.{token}");
        let query = format!("/ws?access_token={token}");
        for (path, headers) in [("/ws", vec![("sec-websocket-protocol", &*protocols)]), (&query, vec![])] {
            let mut socket = Socket::open(address, path, &headers).await.unwrap();
            match taken {
                true => is_heard(&mut socket).await,
                false => assert_eq!(socket.closed().await.unwrap().0, 4401),
            }
        }
        let mut socket = Socket::connect(address).await;
        socket.send("authentication", json!({"token": token})).await;
        match taken {
            true => drop(socket.expect("authentication_success").await),
            false => assert_eq!(socket.closed().await.unwrap().0, 4401),
        }
        if !taken {
            continue;
        }
        let headers = [("authorization", &*header)];
        let (_, answer) = http::json(address, "POST", "/tickets", &headers, Some(&json!({}))).await;
        let ticket = answer["ticket"].as_str().unwrap().to_owned();
        let path = format!("/ws?ticket={ticket}");
        is_heard(&mut Socket::open(address, &path, &[]).await.unwrap()).await;
        assert_eq!(Socket::open(address, &path, &[]).await.unwrap().closed().await.unwrap().0, 4401);
        assert_eq!(get(&format!("/executions?ticket={ticket}"), &[]).await, 401, "it was used");
        tickets.push(ticket);
    }
    program.terminate();
    program.ended().await;
    let logged = fs::read_to_string(&log).unwrap();
    assert!(logged.contains("token not taken") && logged.contains("answered"), "{logged}");
    // What every token begins with: `{"` in base64.
    for secret in tickets.iter().map(String::as_str).chain(["eyJ"]) {
        let leak = logged.lines().find(|line| line.contains(secret));
        assert_eq!(leak, None);
    }
    println!("logged_bytes={} tokens_in_logs=0", logged.len());
}

#[tokio::test]
async fn without_the_flags_no_cookie_and_no_query_parameter_is_read() {
    let folder = folder();
    let secret = folder.path().join("secret");
    let flags = ["--jwt-secret-file", secret.to_str().unwrap()];
    let program = Program::start_with(SERVER, &folder.path().join("data"), &flags).await;
    let good = token("ada", 3600, &json!({}));
    let origin = format!("http://{}", program.address);
    let cookie = [("cookie", &*format!("session={good}")), ("origin", &*origin)];
    let (status, _, code) = ask(program.address, "GET", "/executions", &cookie, None).await;
    assert_eq!((status, code.as_str()), (401, "unauthenticated"));
    let path = format!("/executions?access_token={good}");
    assert_eq!(ask(program.address, "GET", &path, &[], None).await.2, "unauthenticated");
}

/// The options of a program whose tokens are short.
const SHORT: &str = r#"
    [gateway.authentication]
    secret_key_file = "FOLDER/secret"
    leeway = "0s"
    deadline = "2s"
"#;

#[tokio::test]
async fn a_connection_ends_with_its_token_after_a_warning_and_nothing_follows() {
    let folder = folder();
    let program = program(&folder, SHORT, &[]).await;
    start(&program, "a", &bearer("ada"), (950, Duration::from_millis(20))).await;
    // It is told at half of that, with time enough between the two for a machine that has much to do.
    let expires = seconds() + 8;
    let short = token("ada", 0, &json!({"exp": expires}));
    let mut socket = open(&program, &short).await;
    socket.subscribe("a", json!({"events": ["token"]})).await;
    let (mut entries, mut warned) = (Vec::new(), None);
    let code = loop {
        match socket.next_or_code().await {
            Ok(frame) if frame["type"] == "token_expiring" => warned = Some(frame),
            Ok(frame) if frame["type"] == "token" => entries.push(frame),
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!(code, Some(4401));
    assert!(seconds() >= expires);
    assert_eq!(warned.expect("it is told before")["payload"]["expiresAt"], expires * 1_000_000);
    assert_eq!(socket.next().await, None, "nothing follows");
    let contents: Vec<_> = entries.iter().map(|entry| entry["payload"]["content"].clone()).collect();
    assert_eq!(contents, (0..entries.len()).map(|n| json!(format!("t{n} "))).collect::<Vec<_>>());
    assert!(!entries.is_empty() && entries.len() < 950, "{}", entries.len());
    println!("entries_before_expiry={} close=4401", entries.len());
    // Who says nothing is let go by the file's deadline.
    let mut silent = Socket::connect(program.address).await;
    assert_eq!(silent.closed().await.unwrap().0, 4408);
}

#[tokio::test]
async fn a_token_is_renewed_in_place_without_a_gap_and_another_users_closes() {
    let folder = folder();
    let program = program(&folder, SHORT, &[]).await;
    start(&program, "a", &bearer("ada"), (112, Duration::from_millis(125))).await;
    // Renewed at half of its life; the other half is for a machine that has much to do.
    let mut socket = open(&program, &token("ada", 9, &json!({}))).await;
    socket.subscribe("a", json!({})).await;
    let (mut sequences, mut renewals) = (Vec::new(), 0);
    loop {
        let frame = socket.next().await.expect("the connection goes on");
        sequences.extend(frame["sequence"].as_u64());
        match frame["type"].as_str().unwrap() {
            "token_expiring" => {
                let token = token("ada", 9, &json!({}));
                socket.send("authentication", json!({"token": token})).await;
                renewals += 1;
            }
            "status" if frame["payload"]["status"] == "completed" => break,
            "gap" | "error" => panic!("{frame}"),
            _ => {}
        }
    }
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert!(renewals >= 2, "{renewals}");
    println!("entries={} renewals={renewals} gaps=0", sequences.len());
    socket.send("authentication", json!({"token": token("eve", 3600, &json!({}))})).await;
    let told = socket.next().await.unwrap();
    assert_eq!(told["payload"]["code"], "other_subject", "{told}");
    assert_eq!(socket.closed().await.unwrap().0, 4401);
}

#[tokio::test]
async fn a_key_that_is_taken_out_of_its_file_ends_live_connections_and_an_empty_file_is_told() {
    let pem = include_bytes!("../../../crates/gateway/tests/it/keys/p256.pem");
    let key = EncodingKey::from_ec_pem(pem).unwrap();
    let set = json!({"keys": [Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()]}).to_string();
    let folder = folder();
    let path = folder.path().join("keys.json");
    fs::write(&path, &set).unwrap();
    let options = r#"
        [gateway.authentication]
        jwks_file = "FOLDER/keys.json"
        secret_key_file = "FOLDER/secret"
        algorithms = []
        key_refresh = "100ms"
    "#;
    let program = program(&folder, options, &[]).await;
    let claims = json!({"sub": "ada", "exp": seconds() + 3600});
    let by_set = encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap();
    let root = format!("Bearer {}", token("root", 3600, &json!({"scope": "admin operate"})));
    let (mut of_set, mut of_secret) =
        (open(&program, &by_set).await, open(&program, root.trim_start_matches("Bearer ")).await);
    start(&program, "a", &format!("Bearer {by_set}"), (1_000, Duration::from_millis(20))).await;
    let headers = [("authorization", &*format!("Bearer {by_set}"))];
    let (stream, _) = http::request(program.address, "GET", "/executions/a/events", &headers, None).await;
    assert_eq!(stream.status(), 200);
    let (mut stream, mut read) = (stream.into_body(), String::new());
    while !read.contains(r#""type":"token""#) {
        let frame = http_body_util::BodyExt::frame(&mut stream).await.unwrap().unwrap();
        read.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    // While somebody writes it, it is no set, and everything goes on.
    fs::write(&path, "").unwrap();
    let failed = "streamnest_key_set_readings_total{outcome=\"failed\"}";
    while http::metric(program.address, &[("authorization", &root)], failed)
        .await
        .is_none_or(|count| count == 0)
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_heard(&mut of_set).await;
    let began = std::time::Instant::now();
    fs::write(&path, r#"{"keys":[]}"#).unwrap();
    let (code, _) = of_set.closed().await.unwrap();
    println!("closed={code} after_ms={}", began.elapsed().as_millis());
    assert_eq!(code, 4401);
    let body = http_body_util::BodyExt::collect(stream).await.unwrap().to_bytes();
    read.push_str(&String::from_utf8_lossy(&body));
    assert!(!read.contains("completed"), "{read}");
    assert_eq!(ask(program.address, "GET", "/executions", &headers, None).await.0, 401);
    is_heard(&mut of_secret).await;
    fs::write(&path, &set).unwrap();
    while ask(program.address, "GET", "/executions", &headers, None).await.0 != 200 {}
}

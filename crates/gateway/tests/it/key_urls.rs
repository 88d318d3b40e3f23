//! Key sets by URL: what is fetched, how often, and what happens when it cannot be.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jsonwebtoken::{Algorithm as Jwa, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use streamnest_gateway::{Algorithm, AuthenticationOptions, GatewayOptions, TokenKey};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
    task::AbortHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{
    server::{Answer, Server},
    socket::Socket,
    token::{bearer, seconds},
};

const EC: &str = include_str!("keys/p256.pem");
const ED: &str = include_str!("keys/ed25519.pem");

/// An issuer that serves its keys, or whatever else it is told to.
struct Issuer {
    address: SocketAddr,
    shown: Arc<Mutex<String>>,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Issuer {
    async fn start(shown: String) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), shown, None)
    }

    fn on(listener: TcpListener, shown: String, tls: Option<TlsAcceptor>) -> Self {
        let address = listener.local_addr().unwrap();
        let (shown, connections) = (Arc::new(Mutex::new(shown)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (shown.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = told.clone();
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, answer))),
                    Some(tls) => drop(tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, answer).await;
                        }
                    })),
                }
            }
        })
        .abort_handle();
        Self { address, shown, connections, task }
    }

    fn url(&self) -> String {
        format!("http://{}/keys.json", self.address)
    }

    fn show(&self, answer: String) {
        *self.shown.lock().unwrap() = answer;
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads a request, and answers what is to be shown; what is empty is never answered.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shown: Arc<Mutex<String>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    assert!(request.starts_with(b"GET /keys.json HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&request));
    let answer = shown.lock().unwrap().clone();
    match answer.is_empty() {
        true => std::future::pending().await,
        false => drop(stream.write_all(answer.as_bytes()).await),
    }
    let _ = stream.shutdown().await;
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn keys(keys: &[&Value]) -> String {
    ok(&json!({"keys": keys}).to_string())
}

fn key(pem: &str) -> (EncodingKey, Jwa) {
    match pem {
        EC => (EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(), Jwa::ES256),
        _ => (EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(), Jwa::EdDSA),
    }
}

fn jwk(pem: &str, id: &str) -> Value {
    let (key, algorithm) = key(pem);
    let mut jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
    jwk.common.key_id = Some(id.into());
    serde_json::to_value(jwk).unwrap()
}

fn token(pem: &str, id: &str) -> String {
    let (key, algorithm) = key(pem);
    let header = Header { kid: Some(id.into()), ..Header::new(algorithm) };
    encode(&header, &json!({"sub": "ada", "exp": seconds(3600)}), &key).unwrap()
}

/// The keys at `url`, fetched again only after an hour unless the test says otherwise.
fn options(url: &str) -> AuthenticationOptions {
    let hour = Duration::from_secs(3600);
    AuthenticationOptions::new(TokenKey::set_url(url, [Algorithm::Es256, Algorithm::EdDsa]))
        .with_key_fetch_pause(hour)
        .with_key_max_age(hour)
}

async fn server(authentication: AuthenticationOptions) -> Server {
    Server::with_options(GatewayOptions::default().with_authentication(Some(authentication))).await
}

async fn ask(server: &Server, token: &str) -> Answer {
    server.ask("GET", "/executions", &[("authorization", &bearer(token))], "").await
}

async fn status(server: &Server, token: &str) -> u16 {
    ask(server, token).await.status
}

/// What `/metrics` says of a name with its labels; it needs a key of its own that operates.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim().parse().unwrap()
}

async fn metrics(server: &Server) -> String {
    let (key, algorithm) = key(EC);
    let header = Header { kid: Some("old".into()), ..Header::new(algorithm) };
    let claims = json!({"sub": "root", "exp": seconds(3600), "scope": "operate"});
    let token = encode(&header, &claims, &key).unwrap();
    server.ask("GET", "/metrics", &[("authorization", &bearer(&token))], "").await.body
}

#[tokio::test]
async fn a_key_set_by_url_is_fetched_once_and_kids_that_are_unknown_cause_no_more() {
    let issuer = Issuer::start(keys(&[&jwk(EC, "old")])).await;
    let server = server(options(&issuer.url())).await;
    for _ in 0..20 {
        assert_eq!(status(&server, &token(EC, "old")).await, 200);
    }
    assert_eq!(issuer.connections(), 1);
    // Within the pause strangers get refusals, and the issuer hears nothing of them.
    for n in 0..200 {
        ask(&server, &token(EC, &format!("unknown-{n}"))).await.error(401, "invalid_token");
    }
    assert_eq!(issuer.connections(), 1);
    let text = metrics(&server).await;
    assert_eq!(metric(&text, "streamnest_key_set_readings_total{outcome=\"succeeded\"}"), 1.0);
    assert_eq!(metric(&text, "streamnest_key_set_readings_total{outcome=\"failed\"}"), 0.0);
}

#[tokio::test]
async fn a_new_key_is_taken_when_its_first_token_comes_and_a_withdrawn_one_is_not_any_more() {
    let (old, new) = (jwk(EC, "old"), jwk(ED, "new"));
    let issuer = Issuer::start(keys(&[&old])).await;
    let server = server(options(&issuer.url()).with_key_fetch_pause(Duration::from_millis(1))).await;
    assert_eq!(status(&server, &token(EC, "old")).await, 200);
    issuer.show(keys(&[&old, &new]));
    tokio::time::sleep(Duration::from_millis(5)).await;
    // Over HTTP, and as the first message of a WebSocket.
    assert_eq!(status(&server, &token(ED, "new")).await, 200);
    issuer.show(keys(&[&new, &jwk(EC, "newer")]));
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "authentication", "payload": {"token": token(EC, "newer")}})).await;
    socket.expect("authentication_success").await;
    assert_eq!(status(&server, &token(EC, "old")).await, 401, "it was withdrawn");
    // The name of one key and the signature of another are no way in.
    assert_eq!(status(&server, &token(EC, "new")).await, 401);
}

#[tokio::test]
async fn a_withdrawn_key_is_good_for_no_longer_than_its_set_may_be_old() {
    let issuer = Issuer::start(keys(&[&jwk(EC, "old")])).await;
    let authentication = options(&issuer.url())
        .with_key_fetch_pause(Duration::from_millis(1))
        .with_key_max_age(Duration::from_millis(1));
    let server = server(authentication).await;
    assert_eq!(status(&server, &token(EC, "old")).await, 200);
    issuer.show(keys(&[&jwk(ED, "new")]));
    // Nobody waits for that fetch, so that some still come in.
    let withdrawn = async {
        while status(&server, &token(EC, "old")).await == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), withdrawn).await.expect("it is refused");
}

#[tokio::test]
async fn who_is_connected_by_a_key_that_the_issuer_withdraws_is_let_go_though_no_token_comes() {
    let issuer = Issuer::start(keys(&[&jwk(EC, "old"), &jwk(ED, "new")])).await;
    let authentication = options(&issuer.url())
        .with_key_fetch_pause(Duration::from_millis(1))
        .with_key_max_age(Duration::from_millis(1));
    let server = server(authentication).await;
    let mut sockets = Vec::new();
    for token in [token(EC, "old"), token(ED, "new")] {
        let mut socket = Socket::open(&server).await;
        socket.send(json!({"type": "authentication", "payload": {"token": token}})).await;
        socket.expect("authentication_success").await;
        sockets.push(socket);
    }
    issuer.show(keys(&[&jwk(ED, "new")]));
    assert_eq!(sockets[0].until_close().await.0, Some(4401));
    issuer.show("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".into());
    let fetched = issuer.connections();
    while issuer.connections() < fetched + 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sockets[1].send(json!({"type": "ping"})).await;
    sockets[1].expect("pong").await;
    issuer.show(keys(&[]));
    assert_eq!(sockets[1].until_close().await.0, Some(4401));
}

#[tokio::test]
async fn many_tokens_at_once_wait_for_one_fetch() {
    // Nothing is answered until all have asked.
    let issuer = Issuer::start(String::new()).await;
    let server = server(options(&issuer.url()).with_key_fetch_timeout(Duration::from_millis(300))).await;
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let (address, token) = (server.address, bearer(&token(EC, "old")));
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let request = format!(
                    "GET /executions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: {token}\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                Answer::parse(&answer)
            })
        })
        .collect();
    for answer in asked {
        let answer = answer.await.unwrap();
        answer.error(503, "keys_unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    assert_eq!(issuer.connections(), 1);
}

#[tokio::test]
async fn what_cannot_be_fetched_leaves_the_keys_as_they_were_and_is_told() {
    let good = keys(&[&jwk(EC, "old")]);
    let issuer = Issuer::start(good.clone()).await;
    let authentication = options(&issuer.url())
        .with_key_fetch_pause(Duration::from_millis(1))
        .with_key_fetch_timeout(Duration::from_secs(2));
    let server = server(authentication).await;
    assert_eq!(status(&server, &token(EC, "old")).await, 200);
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = trap.local_addr().unwrap();
    let huge = ok(&"x".repeat((1 << 20) + 1));
    let wrong = [
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n".into(), "an error"),
        (
            format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/keys.json\r\ncontent-length: 0\r\n\r\n"
            ),
            "elsewhere",
        ),
        (ok("{\"keys\": ["), "no JSON"),
        (ok("{\"kind\": \"error\"}"), "no set"),
        (huge, "too much"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into(), "no HTTP"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".into(), "cut off"),
        (String::new(), "silence"),
    ];
    for (answer, what) in &wrong {
        issuer.show(answer.clone());
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(status(&server, &token(ED, "new")).await, 401, "{what}");
        assert_eq!(status(&server, &token(EC, "old")).await, 200, "{what}");
    }
    let text = metrics(&server).await;
    assert_eq!(
        metric(&text, "streamnest_key_set_readings_total{outcome=\"failed\"}"),
        wrong.len() as f64,
        "each is told once"
    );
    let led = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(led.is_err(), "a redirection leads nowhere");
    issuer.show(keys(&[&jwk(EC, "old"), &jwk(ED, "new")]));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(status(&server, &token(ED, "new")).await, 200);
}

#[tokio::test]
async fn a_server_whose_issuer_is_away_says_so_and_goes_on_when_it_is_back() {
    // Nobody listens there, and nobody else can take its port meanwhile.
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = away.local_addr().unwrap();
    let authentication =
        options(&format!("http://{address}/keys.json")).with_key_fetch_pause(Duration::from_millis(1));
    let server = server(authentication).await;
    let answer = ask(&server, &token(EC, "old")).await;
    assert!(answer.error(503, "keys_unavailable").contains("try again later"));
    assert_eq!(answer.json()["error"]["retryable"], true);
    // A WebSocket is closed with a code upon which its client comes back with the same token.
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "authentication", "payload": {"token": token(EC, "old")}})).await;
    socket.expect_error("keys_unavailable").await;
    assert_eq!(socket.until_close().await.0, Some(4408));
    // What is no token of any key set is refused as ever.
    ask(&server, "x.y.z").await.error(401, "invalid_token");
    let _issuer = Issuer::on(away.listen(64).unwrap(), keys(&[&jwk(EC, "old")]), None);
    // A reading that began before it was back still fails, and says to try again.
    let back = async {
        while status(&server, &token(EC, "old")).await != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("it goes on by itself");
}

#[tokio::test]
async fn a_key_set_comes_by_https_from_whom_a_private_authority_vouches_for() {
    let chain = CertificateDer::from_pem_slice(include_bytes!("keys/tls.crt.pem")).unwrap();
    let secret = PrivateKeyDer::from_pem_slice(include_bytes!("keys/tls.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let tls = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![chain], secret).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = Issuer::on(listener, keys(&[&jwk(EC, "old")]), Some(tls));
    let url = format!("https://localhost:{}/keys.json", issuer.address.port());
    let root = |name: &str| Some(format!("{}/tests/it/keys/{name}", env!("CARGO_MANIFEST_DIR")).into());
    let trusting = server(options(&url).with_key_roots(root("tls.crt.pem"))).await;
    assert_eq!(status(&trusting, &token(EC, "old")).await, 200);
    let other = server(options(&url).with_key_roots(root("tls-next.crt.pem"))).await;
    ask(&other, &token(EC, "old")).await.error(503, "keys_unavailable");
}

#[tokio::test]
async fn headers_of_a_token_never_name_what_is_fetched() {
    let issuer = Issuer::start(keys(&[&jwk(EC, "old")])).await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys.json", trap.local_addr().unwrap());
    let server = server(options(&issuer.url()).with_key_fetch_pause(Duration::from_millis(1))).await;
    let (key, algorithm) = key(ED);
    for field in ["jku", "x5u", "kid"] {
        let mut header = Header::new(algorithm);
        match field {
            "jku" => header.jku = Some(url.clone()),
            "x5u" => header.x5u = Some(url.clone()),
            _ => header.kid = Some(url.clone()),
        }
        let token = encode(&header, &json!({"sub": "eve", "exp": seconds(3600)}), &key).unwrap();
        assert_eq!(status(&server, &token).await, 401, "{field}");
    }
    let called = tokio::time::timeout(Duration::from_millis(50), trap.accept()).await;
    assert!(called.is_err(), "nobody called");
}

#[tokio::test]
async fn urls_that_protect_nothing_are_refused_at_start() {
    let refused = |authentication: AuthenticationOptions| {
        let error =
            GatewayOptions::default().with_authentication(Some(authentication)).validate().unwrap_err();
        assert_eq!(error.code(), "invalid_option");
        error.to_string()
    };
    for (url, part) in [
        ("http://id.example.org/keys.json", "is not https"),
        ("http://192.0.2.1/keys.json", "is not https"),
        ("ftp://localhost/keys.json", "is not https"),
        ("keys.json", "is no URL"),
        ("https://ada:secret@id.example.org/keys.json", "holds a name or a password"),
    ] {
        let message = refused(options(url));
        assert!(message.contains(part) && message.contains("`authentication.keys`"), "{url}: {message}");
    }
    let of_secret = TokenKey::set_url("https://id.example.org/keys.json", [Algorithm::Hs256]);
    assert!(refused(AuthenticationOptions::new(of_secret)).contains("a secret has no place"));
    let of_nothing = TokenKey::set_url("https://id.example.org/keys.json", []);
    assert!(refused(AuthenticationOptions::new(of_nothing)).contains("without an algorithm"));
    let url = "https://id.example.org/keys.json";
    assert!(refused(options(url).with_key_roots(Some("/nowhere/ca.pem".into()))).contains("/nowhere/ca.pem"));
    assert!(refused(options(url).with_key_fetch_pause(Duration::ZERO)).contains("key_fetch_pause"));
    let alone = crate::token::authentication().with_key_roots(Some("/nowhere/ca.pem".into()));
    assert!(refused(alone).contains("`authentication.key_roots` has no effect"));
}

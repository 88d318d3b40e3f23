use std::fs;

use tokio::net::TcpListener;

use super::*;
use crate::{
    CorsOptions, HeartbeatOptions, StreamingOptions, Streamnest, WebSocketOptions,
    gateway::CompressionOptions,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Every option that needs something, with its default where it has one: a file that gives it means it.
const GIVEN: &[(&str, &str)] = &[
    ("gateway.max_connections_per_user", "5"),
    ("gateway.max_event_streams_per_user", "32"),
    ("gateway.max_event_subscriptions_per_user", "4"),
    ("gateway.streams.max_streams_per_user", "1024"),
    ("logs.max_subscriptions_per_user", "64"),
    ("gateway.hsts_max_age", "'365d'"),
    ("gateway.max_subscriptions", "64"),
    ("gateway.max_event_subscriptions", "64"),
    ("gateway.max_waiting_subscriptions", "8"),
    ("gateway.wait_timeout", "'60s'"),
    ("gateway.max_message_bytes", "65536"),
    ("gateway.max_bad_frames", "10"),
    ("gateway.max_pending_reply_bytes", "16384"),
    ("gateway.read_buffer_bytes", "1024"),
    ("gateway.flush_window", "'0s'"),
    ("gateway.rate_limit.max_requests_per_connection", "6000"),
    ("gateway.authentication.deadline", "'10s'"),
    ("gateway.authentication.max_unauthenticated_message_bytes", "16384"),
    ("gateway.authentication.expiry_warning", "'60s'"),
    ("gateway.heartbeat.timeout", "'20s'"),
    ("gateway.compression.threshold", "1024"),
    ("gateway.compression.level", "3"),
    ("gateway.compression.max_kept_bytes", "16777216"),
    ("gateway.cors.credentials", "true"),
    ("gateway.forwarded_header", "'x-forwarded-for'"),
    ("gateway.authentication.key_refresh", "'10s'"),
    ("gateway.authentication.jwks_ca_file", "'KEYS/tls.crt.pem'"),
    ("gateway.authentication.key_max_age", "'15min'"),
    ("gateway.authentication.key_fetch_pause", "'30s'"),
    ("gateway.authentication.key_fetch_timeout", "'5s'"),
];

/// What a file says so that a need is not met, and that it is.
fn lines(key: &str, need: Need) -> (String, String) {
    let secret = format!("gateway.authentication.secret_key = '{SECRET}'");
    let url = "gateway.authentication.jwks_url = 'https://id.example.org/keys.json'";
    let same = |name: &str| (format!("{name} = false"), format!("{name} = true"));
    let (without, with) = match need {
        Need::Authentication => (String::new(), secret.clone()),
        Need::Encryption => (
            String::new(),
            "gateway.tls = { certificate_file = 'KEYS/tls.crt.pem', key_file = 'KEYS/tls.pem' }".into(),
        ),
        Need::WebSockets => same("websocket.enabled"),
        Need::Heartbeats => same("gateway.heartbeat.enabled"),
        Need::Compression => same("gateway.compression.enabled"),
        Need::Origins => (String::new(), "gateway.cors.origin = ['https://app.example.org']".into()),
        Need::Proxies => (String::new(), "gateway.trusted_proxies = ['10.0.0.0/8']".into()),
        Need::SetFile => (String::new(), "gateway.authentication.jwks_file = 'FOLDER/keys.json'".into()),
        Need::SetUrl => (String::new(), url.into()),
        Need::Asking | Need::Listening => unreachable!("{need:?} is tested by itself"),
    };
    let asks =
        key.starts_with("gateway.authentication") || need == Need::WebSockets && key.ends_with("_per_user");
    let secret = if asks && need != Need::Authentication { secret } else { String::new() };
    (format!("{without}\n{secret}"), format!("{with}\n{secret}"))
}

/// What a program says of a file with this text when it is put together and serves.
async fn served(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/tests/it/keys");
    let jwks = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"{}"}}]}}"#,
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    fs::write(folder.path().join("keys.json"), jwks).unwrap();
    let (path, at) = (folder.path().join("x.toml"), folder.path().to_str().unwrap());
    fs::write(&path, text.replace("KEYS", keys).replace("FOLDER", at)).unwrap();
    let told = |error: Error| format!("{}: {error}", error.code()).replace(at, "");
    let options = StreamingOptions::from_file(&path).map_err(told)?;
    served_by(options).await.map_err(told)
}

async fn served_by(options: StreamingOptions) -> Result<(), Error> {
    let app = Streamnest::builder().options(options).in_memory().build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    app.serve(listener, async {}).await
}

#[tokio::test]
async fn what_needs_something_is_refused_without_it_by_its_key_and_line_and_taken_with_it() {
    let mut messages = Vec::new();
    for dependent in DEPENDENTS.iter().filter(|dependent| dependent.need != Need::Listening) {
        let key = dependent.key;
        let (_, value) = GIVEN.iter().find(|(given, _)| *given == key).unwrap_or_else(|| {
            panic!("`{key}` has no case here");
        });
        let (without, with) = lines(key, dependent.need);
        served(&format!("\n{key} = {value}\n{with}")).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        // Where it is not given it is not missed.
        served(&without).await.unwrap_or_else(|error| panic!("without {key}: {error}"));
        messages.push(served(&format!("\n{key} = {value}\n{without}")).await.expect_err(key));
    }
    assert_eq!(messages.join("\n"), include_str!("tests/refused.txt").trim_end());
}

#[tokio::test]
async fn what_code_gives_is_refused_as_far_as_it_differs_from_its_default() {
    let gateway = |options: GatewayOptions| StreamingOptions::default().with_gateway(options);
    let authenticated = |options: AuthOptions| {
        StreamingOptions::default().with_authentication(options.with_secret_key(SECRET))
    };
    let heartbeat = HeartbeatOptions::default().with_enabled(false);
    let compression = CompressionOptions::default().with_enabled(false);
    let websocket = WebSocketOptions::default().with_enabled(false);
    let minute = std::time::Duration::from_secs(60);
    let mut messages = Vec::new();
    for (options, taken) in [
        (
            gateway(GatewayOptions::default().with_max_connections_per_user(6)),
            gateway(GatewayOptions::default().with_max_connections_per_user(5)),
        ),
        (
            StreamingOptions::default().with_logs(LogOptions::default().with_max_subscriptions_per_user(5)),
            authenticated(AuthOptions::default())
                .with_logs(LogOptions::default().with_max_subscriptions_per_user(5)),
        ),
        (gateway(GatewayOptions::default().with_hsts_max_age(minute)), gateway(GatewayOptions::default())),
        (
            StreamingOptions::default().with_heartbeat(heartbeat.clone().with_timeout(minute)),
            StreamingOptions::default().with_heartbeat(heartbeat),
        ),
        (
            StreamingOptions::default().with_compression(compression.clone().with_level(9)),
            StreamingOptions::default().with_compression(compression),
        ),
        (
            gateway(GatewayOptions::default().with_max_subscriptions(9)).with_websocket(websocket.clone()),
            gateway(GatewayOptions::default().with_rate_limit(Some(RateLimitOptions::default())))
                .with_websocket(websocket),
        ),
        (
            StreamingOptions::default().with_cors(CorsOptions::default().with_credentials(true)),
            StreamingOptions::default().with_cors(CorsOptions::default()),
        ),
        (
            authenticated(AuthOptions::default().with_key_max_age(minute)),
            authenticated(AuthOptions::default()),
        ),
        (
            authenticated(AuthOptions::default().with_enabled(false)),
            StreamingOptions::default().with_authentication(AuthOptions::default().with_enabled(false)),
        ),
    ] {
        let told = format!("{options:?}");
        messages.push(served_by(options).await.expect_err(&told).to_string());
        served_by(taken).await.unwrap();
    }
    let expected = "\
option `gateway.max_connections_per_user` has no effect without `gateway.authentication`, or a key by a flag like `--jwt-secret-file`; give that too, or leave it out
option `logs.max_subscriptions_per_user` has no effect without `gateway.authentication`, or a key by a flag like `--jwt-secret-file`; give that too, or leave it out
option `gateway.hsts_max_age` has no effect without `gateway.tls`, or `--tls-cert`; give that too, or leave it out
option `gateway.heartbeat.timeout` has no effect without `gateway.heartbeat.enabled = true`; give that too, or leave it out
option `gateway.compression.level` has no effect without `gateway.compression.enabled = true`; give that too, or leave it out
option `gateway.max_subscriptions` has no effect without `websocket.enabled = true`; give that too, or leave it out
option `gateway.cors.credentials` has no effect without `gateway.cors.origin`, or `--allow-origin`; give that too, or leave it out
option `gateway.authentication.key_max_age` has no effect without `gateway.authentication.jwks_url`; give that too, or leave it out
option `gateway.authentication` has no effect without `gateway.authentication.enabled = true`; give that too, or leave it out";
    assert_eq!(messages.join("\n"), expected);
}

#[tokio::test]
async fn what_a_program_says_when_it_begins_to_listen_counts() {
    let options = GatewayOptions::default().with_allow_credentials(true);
    let options = StreamingOptions::default().with_gateway(options);
    let app = Streamnest::builder().options(options).in_memory().build().await.unwrap();
    app.gateway().allow(vec!["https://app.example.org".into()], Vec::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    app.serve(listener, async {}).await.unwrap();
}

#[tokio::test]
async fn where_nobody_is_asked_nothing_is_said_of_whom_to_ask() {
    let table = "[gateway.authentication]\nenabled = false\n";
    served(table).await.unwrap();
    let error = served(&format!("{table}issuers = ['a']\naudiences = ['b']")).await.unwrap_err();
    assert_eq!(
        error,
        "option_alone: option `gateway.authentication.issuers` (/x.toml, line 3) has no effect without \
         `gateway.authentication.enabled = true`; give that too, or leave it out"
    );
}

#[tokio::test]
async fn a_program_that_mounts_the_routes_is_told_what_it_does_by_itself() {
    let keys = |name: &str| format!("{}/../gateway/tests/it/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let tls = streamnest_gateway::TlsOptions::new(keys("tls.crt"), keys("tls"));
    let options = GatewayOptions::default().with_tls(Some(tls)).with_hsts_max_age(std::time::Duration::ZERO);
    let options = StreamingOptions::default().with_gateway(options);
    let settled = options.settle().unwrap();
    let serving = Serving { authenticates: false, encrypts: false, listens: false, has_origins: false };
    let told: Vec<_> = without_effect(&settled, Some(serving)).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["gateway.tls", "gateway.hsts_max_age"].map(|key| format!(
            "option `{key}` has no effect without `App::listen` or `App::serve`; give that too, or leave it out"
        ))
    );
}

//! Options in a file.

mod every;
mod kept;
mod warned;

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;
use streamnest::{CorsOptions, Error, StreamingOptions, Streamnest};
use streamnest_tests::{http, server::Server, workflows::Steps};
use tempfile::TempDir;

use crate::flags::{app, flags};

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("streamnest.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// Why a file is refused, when it is read or when its options are to have their effect.
async fn refused(text: &str) -> (String, String) {
    let (_folder, path) = file(text);
    let error = match StreamingOptions::from_file(&path) {
        Err(error) => error,
        Ok(options) => refused_by_the_program(options).await,
    };
    (error.code().into(), error.to_string().replace(path.to_str().unwrap(), "FILE"))
}

/// Why options are refused, when a program is put together of them or begins to serve.
async fn refused_by_the_program(options: StreamingOptions) -> Error {
    match Streamnest::builder().options(options).build().await {
        Err(error) => error,
        Ok(app) => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            app.serve(listener, async {}).await.unwrap_err()
        }
    }
}

#[tokio::test]
async fn what_a_file_says_has_its_effect() {
    let text = r#"
        default_buffer_size = 7

        [websocket]
        enabled = false
        port = 9000

        [gateway]
        max_connections_per_address = 64
        trusted_proxies = ["127.0.0.1"]
        request_timeout = "5s"

        [gateway.cors]
        origin = ["https://app.example.org"]
        credentials = true

        [gateway.authentication]
        strategy = "jwt"
        secret_key = "0123456789abcdef0123456789abcdef"
        expires_in = "1h"

        [gateway.rate_limit]
        window = "10min"
        max_requests_per_user = 3

        [gateway.compression]
        algorithm = "deflate"
        threshold = 2048

        [gateway.heartbeat]
        interval = "15s"
        timeout = "250ms"
    "#;
    let (_folder, path) = file(text);
    let options = StreamingOptions::from_file(&path).unwrap();
    assert_eq!((options.websocket.port, options.default_buffer_size), (9000, Some(7)));
    let server = Server::start(Streamnest::builder().workflow(Steps::default()).options(options)).await;
    let gateway = server.app.gateway().options();
    assert_eq!(gateway.heartbeat_interval.as_secs(), 15);
    assert_eq!(gateway.pong_timeout.as_millis(), 250);
    assert_eq!(gateway.compression.threshold, 2048);
    assert_eq!(gateway.request_timeout.as_secs(), 5);
    assert_eq!(gateway.max_connections_per_address, Some(64));
    // Who shows no token counts by the address that the proxy tells.
    let page = [("origin", "https://app.example.org"), ("x-forwarded-for", "192.0.2.1")];
    for expected in [401, 401, 401, 429] {
        let (answer, _) = http::request(server.address, "GET", "/executions", &page, None).await;
        assert_eq!(answer.status().as_u16(), expected);
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    }
    let socket = [("connection", "upgrade"), ("upgrade", "websocket"), ("x-forwarded-for", "192.0.2.2")];
    let (status, body) = http::json(server.address, "GET", "/ws", &socket, None).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn what_a_file_says_wrongly_is_refused_by_name() {
    for (text, code, part) in [
        ("[gateway.heartbeat]\nintervall = \"5s\"", "config_file", "unknown field `intervall`"),
        ("[gatewy]", "config_file", "unknown field `gatewy`"),
        ("[gateway.heartbeat]\ninterval = 5", "config_file", "a time with its unit"),
        ("[gateway.heartbeat]\ninterval = \"5\"", "config_file", "units: d, h, min, s, ms"),
        ("[gateway.authentication]\nstrategy = \"basic\"", "config_file", "legal is \"jwt\""),
        ("[gateway.authentication]\nalgorithms = [\"none\"]", "config_file", "legal are HS256"),
        ("[gateway.compression]\nalgorithm = \"zip\"", "config_file", "legal is \"deflate\""),
        ("[websocket]\nport = 70000", "config_file", "port"),
        ("a = = b", "config_file", "line 1"),
        (
            "[gateway.authentication]\nissuers = [\"a\"]",
            "invalid_option",
            "option `gateway.authentication` (FILE, line 1) names no key; give `secret_key`, `secret_key_file`",
        ),
        (
            "[gateway.authentication]\n\nsecret_key = \"short\"",
            "invalid_option",
            "option `gateway.authentication.secret_key` (FILE, line 3) has a secret of 5 bytes, under the least of 32; take a random one",
        ),
        (
            "gateway.authentication = { jwks_url = \"http://a.example\", secret_key = \"0123456789abcdef0123456789abcdef\" }",
            "invalid_option",
            "option `gateway.authentication.jwks_url` (FILE, line 1) has the key set \"http://a.example\", which is not https",
        ),
        (
            "[gateway]\nmax_connections = 0",
            "invalid_option",
            "option `gateway.max_connections` (FILE, line 2) is zero, which leaves no room; leave it out for its default",
        ),
        (
            "[gateway.heartbeat]\ninterval = \"0s\"",
            "invalid_option",
            "option `gateway.heartbeat.interval` (FILE, line 2) is zero",
        ),
        (
            "[gateway.cors]\n# which pages\norigin = [\"https://*.example.org\"]",
            "invalid_option",
            "option `gateway.cors.origin` (FILE, line 3) has \"https://*.example.org\", but takes no patterns; name each origin",
        ),
        (
            "[gateway.tls]\ncertificate_file = \"/nowhere/a.pem\"\nkey_file = \"/nowhere/b.pem\"",
            "invalid_option",
            "option `gateway.tls` (FILE, line 1) has /nowhere/a.pem, which cannot be read",
        ),
        (
            "[gateway.rate_limit]",
            "invalid_option",
            "option `gateway.rate_limit` (FILE, line 1) limits nothing; give at least one of `max_connections`",
        ),
        (
            "[engine]\nprices = [\"a=1/2\", \"a=3/4\"]",
            "invalid_option",
            "option `engine.prices` (FILE, line 2) has model `a` twice",
        ),
        (
            "[gateway.rate_limit]\nmax_connections = 0",
            "invalid_option",
            "`gateway.rate_limit.max_connections` (FILE, line 2)",
        ),
        (
            "[gateway.cors]\ncredentials = true",
            "option_alone",
            "`gateway.cors.credentials` (FILE, line 2) has no effect without `gateway.cors.origin`",
        ),
        (
            "[gateway.compression]\nlevel = 10",
            "invalid_option",
            "`gateway.compression.level` (FILE, line 2) is 10",
        ),
        (
            "[gateway]\ntrusted_proxies = [\"proxy\"]",
            "invalid_option",
            "`gateway.trusted_proxies` (FILE, line 2)",
        ),
        (
            "[gateway.streams]\nmax_streams = 0",
            "invalid_option",
            "`gateway.streams.max_streams` (FILE, line 2) is zero",
        ),
        (
            "[gateway.streams]\nmax_streams_per_user = 0",
            "invalid_option",
            "`gateway.streams.max_streams_per_user` (FILE, line 2)",
        ),
        ("[disk]\nsegment_byte = 4096", "config_file", "unknown field `segment_byte`"),
        ("[disk]\nfinished_ttl = 7", "config_file", "a time with its unit"),
        ("[disk]\ndurability = \"interval\"", "config_file", "`interval` is no durability; legal are `sync`"),
        ("[disk]\ndurability = \"interval=0s\"", "config_file", "`0s` is no time above zero"),
        (
            "[disk]\nreaders = 0",
            "invalid_option",
            "`disk.readers` (FILE, line 2) is out of range; legal is at least 1",
        ),
        (
            "default_buffer_size = 0",
            "invalid_option",
            "`default_buffer_size` (FILE, line 1) is 0; it must be at least 1",
        ),
        ("[logs]\nmax_log = 4", "config_file", "unknown field `max_log`"),
        ("[logs.retention]\nmax_age = \"soon\"", "config_file", "`soon` is no time"),
        ("[logs]\nmax_logs = 0", "invalid_option", "`logs.max_logs` (FILE, line 2) is zero"),
        ("[engine]\nmax_once_key = 4", "config_file", "unknown field `max_once_key`"),
        (
            "[engine]\nmax_open_asks = 0",
            "invalid_option",
            "`engine.max_open_asks` (FILE, line 2) is 0; it must be at least 1",
        ),
        (
            "default_buffer_size = 50\n[engine]\ndefault_buffer_size = 50",
            "option_twice",
            "`default_buffer_size`",
        ),
        (
            "[token_streams]\nmax_streams = 0",
            "invalid_option",
            "`token_streams.max_streams` (FILE, line 2) is zero",
        ),
        ("[event_processing]\nmax_type = 1", "config_file", "unknown field `max_type`"),
        (
            "[event_processing]\nmax_events = 0",
            "invalid_option",
            "`event_processing.max_events` (FILE, line 2) is 0; it must be at least 1",
        ),
    ] {
        let (came, message) = refused(text).await;
        assert_eq!(came, code, "{text}: {message}");
        assert!(message.contains(part), "{text}: {message}");
    }
    let error = StreamingOptions::from_file("/nowhere/streamnest.toml").unwrap_err();
    assert!(matches!(&error, Error::ConfigFile { path, .. } if path.ends_with("streamnest.toml")), "{error}");
}

#[tokio::test]
async fn a_program_that_says_its_options_itself_takes_no_file() {
    let (_folder, path) = file("");
    let error = flags(&["--config", path.to_str().unwrap()]).unwrap().serve(&app().await).await.unwrap_err();
    assert_eq!(error.code(), "config_not_read");
}

#[tokio::test]
async fn a_program_whose_own_flag_it_is_is_told_how_to_say_so() {
    let (_folder, path) = file("orders: 7\n");
    let program = Command::new(env!("CARGO_BIN_EXE_steps-server"));
    let ended = { program }.arg("--config").arg(&path).env_remove("STREAMNEST_CONFIG").output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!ended.status.success() && said.contains(path.to_str().unwrap()), "{said}");
    assert!(said.contains("if `--config` is this program's own flag, give the options in code"), "{said}");
}

#[tokio::test]
async fn an_option_that_contradicts_another_is_refused() {
    let options = StreamingOptions::default()
        .with_cors(CorsOptions::default().with_credentials(true))
        .with_default_buffer_size(3);
    let error = refused_by_the_program(options).await;
    let Error::OptionAlone { option, needs } = error else { panic!("{error}") };
    assert_eq!(
        (option.as_str(), option.place(), needs),
        ("gateway.cors.credentials", None, "`gateway.cors.origin`, or `--allow-origin`")
    );
}

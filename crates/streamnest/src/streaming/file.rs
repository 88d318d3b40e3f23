//! Options in a file.
//!
//! Keys have the names of the options. What the file does not name keeps its default, and what it names wrongly is refused.

use std::{fmt, fs, marker::PhantomData, path::Path, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};
use streamnest_gateway::{Algorithm, CompressionOptions, GatewayOptions, RateLimitOptions, Secret};

use super::{AuthOptions, CorsOptions, HeartbeatOptions, StreamingOptions, WebSocketOptions};
use crate::{Error, duration};

/// Everything that a file may say.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct File {
    default_buffer_size: Option<usize>,
    websocket: WebSocket,
    gateway: Gateway,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct WebSocket {
    enabled: Option<bool>,
    port: Option<u16>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Gateway {
    cors: Option<Cors>,
    authentication: Option<Authentication>,
    rate_limit: Option<RateLimit>,
    compression: Option<Compression>,
    heartbeat: Option<Heartbeat>,
    allowed_hosts: Option<Vec<String>>,
    trusted_proxies: Option<Vec<String>>,
    forwarded_header: Option<String>,
    hsts_max_age: Option<Time>,
    max_connections: Option<usize>,
    max_connections_per_user: Option<usize>,
    max_connections_per_address: Option<usize>,
    max_event_streams_per_user: Option<usize>,
    max_subscriptions: Option<usize>,
    max_message_bytes: Option<usize>,
    max_body_bytes: Option<usize>,
    request_timeout: Option<Time>,
    slow_reader_limit: Option<Time>,
    drain_grace: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Cors {
    origin: Vec<String>,
    credentials: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Authentication {
    enabled: Option<bool>,
    strategy: Word<Jwt>,
    secret_key: Option<String>,
    secret_key_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca_file: Option<PathBuf>,
    algorithms: Vec<String>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    expires_in: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RateLimit {
    window: Option<Time>,
    max_connections: Option<u32>,
    max_requests_per_connection: Option<u32>,
    max_requests_per_user: Option<u32>,
    max_executions_per_user: Option<u32>,
    replay_bytes_per_second: Option<u32>,
    max_keys: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Compression {
    enabled: Option<bool>,
    algorithm: Word<Deflate>,
    threshold: Option<usize>,
    level: Option<u32>,
    max_kept_bytes: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Heartbeat {
    interval: Option<Time>,
    timeout: Option<Time>,
}

/// A time with its unit: `"30s"`.
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as \"30s\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                duration::parse(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An option that has one legal word so far.
struct Word<W>(PhantomData<W>);

trait OneWord {
    const WORD: &'static str;
}

struct Jwt;
struct Deflate;

impl OneWord for Jwt {
    const WORD: &'static str = "jwt";
}

impl OneWord for Deflate {
    const WORD: &'static str = "deflate";
}

impl<W> Default for Word<W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, W: OneWord> Deserialize<'de> for Word<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text == W::WORD {
            true => Ok(Self::default()),
            false => Err(de::Error::custom(format!("`{text}` is not known; legal is \"{}\"", W::WORD))),
        }
    }
}

impl StreamingOptions {
    /// Reads options from a TOML file, under the names that they have here:
    ///
    /// ```toml
    /// default_buffer_size = 20
    ///
    /// [websocket]
    /// port = 9000
    ///
    /// [gateway]
    /// max_connections_per_address = 64
    /// trusted_proxies = ["10.0.0.0/8"]
    ///
    /// [gateway.cors]
    /// origin = ["https://app.example.org"]
    ///
    /// [gateway.authentication]
    /// jwks_file = "/etc/streamnest/keys.json"
    /// expires_in = "1h"
    ///
    /// [gateway.rate_limit]
    /// window = "60s"
    /// max_connections = 600
    /// ```
    ///
    /// What it does not name keeps its default; within `gateway.rate_limit`, what it does not name is not limited.
    ///
    /// # Errors
    /// [`Error::ConfigFile`] if it cannot be read or names what there is not; it says the line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let refused = |reason: String| Error::ConfigFile { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let mut options = file.options().map_err(refused)?;
        options.source = Some(path.to_owned());
        Ok(options)
    }
}

/// Puts a value where it has its effect, if there is one.
fn put<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

fn time(time: Option<Time>) -> Option<Duration> {
    time.map(|Time(time)| time)
}

impl File {
    fn options(self) -> Result<StreamingOptions, String> {
        let Self { default_buffer_size, websocket, gateway: file } = self;
        let mut gateway = GatewayOptions::default();
        put(&mut gateway.allowed_hosts, file.allowed_hosts);
        put(&mut gateway.trusted_proxies, file.trusted_proxies);
        put(&mut gateway.forwarded_header, file.forwarded_header);
        put(&mut gateway.hsts_max_age, time(file.hsts_max_age));
        put(&mut gateway.max_connections, file.max_connections);
        put(&mut gateway.max_connections_per_user, file.max_connections_per_user);
        gateway.max_connections_per_address = file.max_connections_per_address;
        put(&mut gateway.max_event_streams_per_user, file.max_event_streams_per_user);
        put(&mut gateway.max_subscriptions, file.max_subscriptions);
        put(&mut gateway.max_message_bytes, file.max_message_bytes);
        put(&mut gateway.max_body_bytes, file.max_body_bytes);
        put(&mut gateway.request_timeout, time(file.request_timeout));
        put(&mut gateway.slow_reader_limit, time(file.slow_reader_limit));
        put(&mut gateway.drain_grace, time(file.drain_grace));
        let mut sockets = WebSocketOptions::default();
        put(&mut sockets.enabled, websocket.enabled);
        put(&mut sockets.port, websocket.port);
        Ok(StreamingOptions {
            websocket: sockets,
            default_buffer_size,
            cors: file.cors.map(|cors| {
                CorsOptions::default().with_origin(cors.origin).with_credentials(cors.credentials)
            }),
            heartbeat: file.heartbeat.map(|heartbeat| {
                let mut options = HeartbeatOptions::default();
                put(&mut options.interval, time(heartbeat.interval));
                put(&mut options.timeout, time(heartbeat.timeout));
                options
            }),
            authentication: file.authentication.map(Authentication::options).transpose()?,
            rate_limit: file.rate_limit.map(RateLimit::options),
            compression: file.compression.map(Compression::options),
            gateway,
            ..StreamingOptions::default()
        })
    }
}

impl Authentication {
    fn options(self) -> Result<AuthOptions, String> {
        let Word(PhantomData) = self.strategy;
        let algorithms: Result<Vec<Algorithm>, _> = self.algorithms.iter().map(|name| name.parse()).collect();
        let mut options = AuthOptions {
            secret_key: self.secret_key.map(Secret::from),
            secret_key_file: self.secret_key_file,
            public_key_file: self.public_key_file,
            jwks_file: self.jwks_file,
            jwks_url: self.jwks_url,
            jwks_ca_file: self.jwks_ca_file,
            algorithms: algorithms.map_err(|error| error.to_string())?,
            issuers: self.issuers,
            audiences: self.audiences,
            expires_in: time(self.expires_in),
            ..AuthOptions::default()
        };
        put(&mut options.enabled, self.enabled);
        Ok(options)
    }
}

impl RateLimit {
    fn options(self) -> RateLimitOptions {
        let mut options = RateLimitOptions::unlimited()
            .with_max_connections(self.max_connections)
            .with_max_requests_per_connection(self.max_requests_per_connection)
            .with_max_requests_per_user(self.max_requests_per_user)
            .with_max_executions_per_user(self.max_executions_per_user)
            .with_replay_bytes_per_second(self.replay_bytes_per_second);
        put(&mut options.window, time(self.window));
        put(&mut options.max_keys, self.max_keys);
        options
    }
}

impl Compression {
    fn options(self) -> CompressionOptions {
        let Word(PhantomData) = self.algorithm;
        let mut options = CompressionOptions::default();
        put(&mut options.enabled, self.enabled);
        put(&mut options.threshold, self.threshold);
        put(&mut options.level, self.level);
        put(&mut options.max_kept_bytes, self.max_kept_bytes);
        options
    }
}

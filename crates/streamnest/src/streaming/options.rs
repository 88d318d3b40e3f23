//! What can be chosen about a program that streams.

use std::{path::PathBuf, time::Duration};

use streamnest_gateway::{CompressionOptions, GatewayOptions, RateLimitOptions};
use streamnest_log::LogOptions;
use streamnest_log_disk::DiskOptions;
use streamnest_runtime::{EngineOptions, EventStreamProcessorOptions, TokenStreamingOptions};

use super::{AuthOptions, source::Source};
use crate::Error;

/// The options of [`StreamingModule`](crate::StreamingModule): what most programs choose by the names that they know, and
/// every bound of the parts beneath.
///
/// What is given by a name here must not be given to the part beneath as well.
///
/// ```
/// use std::time::Duration;
/// use streamnest::{CorsOptions, HeartbeatOptions, StreamingOptions, WebSocketOptions};
///
/// let options = StreamingOptions::default()
///     .with_websocket(WebSocketOptions::default().with_port(9000))
///     .with_default_buffer_size(20)
///     .with_cors(CorsOptions::default().with_origin(vec!["https://app.example.org".into()]))
///     .with_heartbeat(HeartbeatOptions::default().with_interval(Duration::from_secs(15)));
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct StreamingOptions {
    /// Where clients connect.
    pub websocket: WebSocketOptions,
    /// `buffer_size` of nodes whose `#[stream_token]` does not say. Default that of [`EngineOptions`], 50.
    pub default_buffer_size: Option<usize>,
    /// Which pages of other origins may use the server. Default that of [`GatewayOptions`], none.
    pub cors: Option<CorsOptions>,
    /// How connections are known to live. Default that of [`GatewayOptions`].
    pub heartbeat: Option<HeartbeatOptions>,
    /// How often clients may connect, ask, start and read again. Default that of [`GatewayOptions`], as often as they like.
    pub rate_limit: Option<RateLimitOptions>,
    /// Whether and how what clients catch up on is compressed. Default that of [`GatewayOptions`], for those who ask for it.
    pub compression: Option<CompressionOptions>,
    /// Whose tokens are taken. Default that of [`GatewayOptions`], nobody is asked.
    pub authentication: Option<AuthOptions>,
    /// The directory in which [`App::listen`](crate::App::listen) keeps the logs, unless the flags `--data-dir` or `--memory` say
    /// otherwise. Default `streamnest-data/PROGRAM` in the directory in which the program is started. A program that does not
    /// listen by itself says it by [`AppBuilder::data_dir`](crate::AppBuilder::data_dir); logs that are used before the directory
    /// that is named here was opened are refused.
    pub data_dir: Option<PathBuf>,
    /// How logs are kept in a data directory, and for how long. The flag `--durability` comes before
    /// [`DiskOptions::durability`]; the flag `--memory` leaves all of it without effect. A program that brings a store of its own
    /// must not give it.
    pub disk: DiskOptions,
    /// The bounds and times of connections.
    pub gateway: GatewayOptions,
    /// The bounds of running workflows.
    pub engine: EngineOptions,
    /// The bounds of the logs.
    pub logs: LogOptions,
    /// The bounds of token streams that are no workflow's.
    pub token_streams: TokenStreamingOptions,
    /// The bounds of the processing of events.
    pub event_processing: EventStreamProcessorOptions,
    /// The file that they were read from.
    pub(crate) source: Option<Source>,
}

/// Where clients connect.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct WebSocketOptions {
    /// Whether clients may connect by WebSocket. Default yes; without, event streams and HTTP are left.
    pub enabled: bool,
    /// The port of the loopback address on which [`App::listen`](crate::App::listen) serves, unless a flag says otherwise; 0
    /// takes a free one. Default 8080.
    pub port: u16,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self { enabled: true, port: 8080 }
    }
}

/// Which pages of other origins may use the server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct CorsOptions {
    /// Their origins: `https://app.example.org`. Default none.
    pub origin: Vec<String>,
    /// Whether they may send cookies along. Default no.
    pub credentials: bool,
}

/// How connections are known to live.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeartbeatOptions {
    /// Whether there are heartbeats and pings. Default yes: [`GatewayOptions::heartbeats`] tells what goes without them.
    pub enabled: bool,
    /// How often every connection gets a heartbeat. Default 30 s, below what proxies take for idle.
    pub interval: Duration,
    /// How long a client may take to answer a ping before its connection is closed. Default 20 s.
    pub timeout: Duration,
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        let GatewayOptions { heartbeats, heartbeat_interval, pong_timeout, .. } = GatewayOptions::default();
        Self { enabled: heartbeats, interval: heartbeat_interval, timeout: pong_timeout }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($type:ident { $($setter:ident $field:ident: $value:ty $(=> $wrap:path)?,)* }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    $(let $field = $wrap($field);)?
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    StreamingOptions {
        with_websocket websocket: WebSocketOptions,
        with_default_buffer_size default_buffer_size: usize => Some,
        with_cors cors: CorsOptions => Some,
        with_heartbeat heartbeat: HeartbeatOptions => Some,
        with_rate_limit rate_limit: RateLimitOptions => Some,
        with_compression compression: CompressionOptions => Some,
        with_authentication authentication: AuthOptions => Some,
        with_data_dir data_dir: PathBuf => Some,
        with_disk disk: DiskOptions,
        with_gateway gateway: GatewayOptions,
        with_engine engine: EngineOptions,
        with_logs logs: LogOptions,
        with_token_streams token_streams: TokenStreamingOptions,
        with_event_processing event_processing: EventStreamProcessorOptions,
    }
}

setters! {
    WebSocketOptions {
        with_enabled enabled: bool,
        with_port port: u16,
    }
}

setters! {
    CorsOptions {
        with_origin origin: Vec<String>,
        with_credentials credentials: bool,
    }
}

setters! {
    HeartbeatOptions {
        with_enabled enabled: bool,
        with_interval interval: Duration,
        with_timeout timeout: Duration,
    }
}

impl StreamingOptions {
    /// With what is given by name put where it has its effect.
    ///
    /// # Errors
    /// [`Error::OptionTwice`] if an option is given here and to the part beneath; [`Error::KeyFile`] and [`Error::Gateway`]
    /// if a key cannot be read.
    pub(crate) fn settle(mut self) -> Result<Self, Error> {
        let (gateway, engine) = (GatewayOptions::default(), EngineOptions::default());
        let once = |option, same: bool, beneath| match same {
            true => Ok(()),
            false => Err(Error::OptionTwice { option, beneath }),
        };
        if let Some(size) = self.default_buffer_size.take() {
            let same = self.engine.default_buffer_size == engine.default_buffer_size;
            once("default_buffer_size", same, "EngineOptions::default_buffer_size")?;
            self.engine.default_buffer_size = size;
        }
        if let Some(cors) = self.cors.take() {
            let same = self.gateway.allowed_origins == gateway.allowed_origins;
            once("cors.origin", same, "GatewayOptions::allowed_origins")?;
            let same = self.gateway.allow_credentials == gateway.allow_credentials;
            once("cors.credentials", same, "GatewayOptions::allow_credentials")?;
            self.gateway.allowed_origins = cors.origin;
            self.gateway.allow_credentials = cors.credentials;
        }
        if let Some(heartbeat) = self.heartbeat.take() {
            let same = self.gateway.heartbeat_interval == gateway.heartbeat_interval;
            once("heartbeat.interval", same, "GatewayOptions::heartbeat_interval")?;
            let same = self.gateway.pong_timeout == gateway.pong_timeout;
            once("heartbeat.timeout", same, "GatewayOptions::pong_timeout")?;
            let same = self.gateway.heartbeats == gateway.heartbeats;
            once("heartbeat.enabled", same, "GatewayOptions::heartbeats")?;
            self.gateway.heartbeats = heartbeat.enabled;
            self.gateway.heartbeat_interval = heartbeat.interval;
            self.gateway.pong_timeout = heartbeat.timeout;
        }
        if let Some(rate_limit) = self.rate_limit.take() {
            once("rate_limit", self.gateway.rate_limit.is_none(), "GatewayOptions::rate_limit")?;
            self.gateway.rate_limit = Some(rate_limit);
        }
        if let Some(compression) = self.compression.take() {
            let same = self.gateway.compression == gateway.compression;
            once("compression", same, "GatewayOptions::compression")?;
            self.gateway.compression = compression;
        }
        if !self.websocket.enabled {
            self.gateway.websocket = false;
        }
        if let Some(authentication) = &self.authentication {
            let same = self.gateway.authentication == gateway.authentication;
            once("authentication", same, "GatewayOptions::authentication")?;
            self.gateway.authentication = authentication.clone().read()?;
        }
        Ok(self)
    }
}

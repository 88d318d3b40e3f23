//! Options that have no effect without something else.
//!
//! Such a one is refused where it was given. A file says what it gives, be it the default; of what code says it is known as far as
//! it differs from the default. What a flag may still give is looked for when the program begins to serve, the rest when it is put
//! together.

use streamnest_gateway::{AuthenticationOptions, GatewayOptions, RateLimitOptions, TokenKey};
use streamnest_log::LogOptions;

use super::{AuthOptions, StreamingOptions, source::OptionName};
use crate::Error;

/// What an option has no effect without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Authentication,
    Encryption,
    Listening,
    WebSockets,
    Heartbeats,
    Compression,
    Origins,
    Proxies,
    Asking,
    SetFile,
    SetUrl,
}

/// How a program serves, once that is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    /// Whether it asks clients who they are.
    pub(crate) authenticates: bool,
    /// Whether it encrypts connections.
    pub(crate) encrypts: bool,
    /// Whether it accepts connections, and not a program into which its routes are mounted.
    pub(crate) listens: bool,
    /// Whether pages of other origins may ask it.
    pub(crate) has_origins: bool,
}

impl Need {
    /// What gives it.
    const fn told(self) -> &'static str {
        match self {
            Self::Authentication => "`gateway.authentication`, or a key by a flag like `--jwt-secret-file`",
            Self::Encryption => "`gateway.tls`, or `--tls-cert`",
            Self::Listening => "`App::listen` or `App::serve`",
            Self::WebSockets => "`websocket.enabled = true`",
            Self::Heartbeats => "`gateway.heartbeat.enabled = true`",
            Self::Compression => "`gateway.compression.enabled = true`",
            Self::Origins => "`gateway.cors.origin`, or `--allow-origin`",
            Self::Proxies => "`gateway.trusted_proxies`",
            Self::Asking => "`gateway.authentication.enabled = true`",
            Self::SetFile => "`gateway.authentication.jwks_file`",
            Self::SetUrl => "`gateway.authentication.jwks_url`",
        }
    }

    /// Whether it is there, or may still come.
    fn is_met(self, options: &StreamingOptions, serving: Option<Serving>) -> bool {
        let gateway = &options.gateway;
        let keys = |is: fn(&TokenKey) -> bool| {
            gateway.authentication.as_ref().is_none_or(|authentication| authentication.keys.iter().any(is))
        };
        match self {
            Self::Authentication => serving.is_none_or(|serving| serving.authenticates),
            // Where the program accepts connections itself it is not ours to encrypt them, whatever is given.
            Self::Encryption => serving.is_none_or(|serving| serving.encrypts || !serving.listens),
            Self::Listening => serving.is_none_or(|serving| serving.listens),
            Self::WebSockets => gateway.websocket,
            Self::Heartbeats => gateway.heartbeats,
            Self::Compression => gateway.compression.enabled,
            Self::Origins => serving.is_none_or(|serving| serving.has_origins),
            Self::Proxies => !gateway.trusted_proxies.is_empty(),
            Self::Asking => options.authentication.as_ref().is_none_or(|options| options.enabled),
            Self::SetFile => keys(|key| matches!(key, TokenKey::SetFile { .. })),
            Self::SetUrl => keys(|key| matches!(key, TokenKey::SetUrl { .. })),
        }
    }
}

/// Options by which it is told whether code has given one.
struct Said {
    gateway: GatewayOptions,
    logs: LogOptions,
    authentication: AuthenticationOptions,
    rate_limit: RateLimitOptions,
}

impl Said {
    fn of(options: &StreamingOptions) -> Self {
        let authentication = options.gateway.authentication.clone();
        let mut rate_limit = options.gateway.rate_limit.clone().unwrap_or_default();
        // What is not limited is not said.
        let of_connection = RateLimitOptions::default().max_requests_per_connection;
        rate_limit.max_requests_per_connection = rate_limit.max_requests_per_connection.or(of_connection);
        Self {
            gateway: options.gateway.clone(),
            logs: options.logs.clone(),
            authentication: authentication
                .unwrap_or_else(|| AuthenticationOptions::new(TokenKey::secret(""))),
            rate_limit,
        }
    }
}

/// An option that needs something.
struct Dependent {
    /// Its key in a file.
    key: &'static str,
    need: Need,
    /// Whether one has it otherwise than the other.
    differs: fn(&Said, &Said) -> bool,
}

macro_rules! dependents {
    ($($need:ident { $($key:literal $($part:ident).+,)* })*) => {
        &[$($(Dependent {
            key: $key,
            need: Need::$need,
            differs: |one, other| one.$($part).+ != other.$($part).+,
        },)*)*]
    };
}

const DEPENDENTS: &[Dependent] = dependents! {
    Authentication {
        "gateway.max_connections_per_user" gateway.max_connections_per_user,
        "gateway.max_event_streams_per_user" gateway.max_event_streams_per_user,
        "gateway.max_event_subscriptions_per_user" gateway.max_event_subscriptions_per_user,
        "gateway.streams.max_streams_per_user" gateway.streams.max_streams_per_user,
        "logs.max_subscriptions_per_user" logs.max_subscriptions_per_user,
    }
    Encryption {
        "gateway.hsts_max_age" gateway.hsts_max_age,
    }
    Listening {
        "gateway.tls" gateway.tls,
        "gateway.hsts_max_age" gateway.hsts_max_age,
        "gateway.send_buffer_bytes" gateway.send_buffer_bytes,
    }
    WebSockets {
        "gateway.max_connections_per_user" gateway.max_connections_per_user,
        "gateway.max_subscriptions" gateway.max_subscriptions,
        "gateway.max_event_subscriptions" gateway.max_event_subscriptions,
        "gateway.max_event_subscriptions_per_user" gateway.max_event_subscriptions_per_user,
        "gateway.max_waiting_subscriptions" gateway.max_waiting_subscriptions,
        "gateway.wait_timeout" gateway.wait_timeout,
        "gateway.max_message_bytes" gateway.max_message_bytes,
        "gateway.max_bad_frames" gateway.max_bad_frames,
        "gateway.max_pending_reply_bytes" gateway.max_pending_reply_bytes,
        "gateway.read_buffer_bytes" gateway.read_buffer_bytes,
        "gateway.flush_window" gateway.flush_window,
        "gateway.rate_limit.max_requests_per_connection" rate_limit.max_requests_per_connection,
        "gateway.authentication.deadline" authentication.deadline,
        "gateway.authentication.max_unauthenticated_message_bytes" authentication.max_unauthenticated_message_bytes,
        "gateway.authentication.expiry_warning" authentication.expiry_warning,
    }
    Heartbeats {
        "gateway.heartbeat.timeout" gateway.pong_timeout,
    }
    Compression {
        "gateway.compression.threshold" gateway.compression.threshold,
        "gateway.compression.level" gateway.compression.level,
        "gateway.compression.max_kept_bytes" gateway.compression.max_kept_bytes,
    }
    Origins {
        "gateway.cors.credentials" gateway.allow_credentials,
    }
    Proxies {
        "gateway.forwarded_header" gateway.forwarded_header,
    }
    SetFile {
        "gateway.authentication.key_refresh" authentication.key_refresh,
    }
    SetUrl {
        "gateway.authentication.jwks_ca_file" authentication.key_roots,
        "gateway.authentication.key_max_age" authentication.key_max_age,
        "gateway.authentication.key_fetch_pause" authentication.key_fetch_pause,
        "gateway.authentication.key_fetch_timeout" authentication.key_fetch_timeout,
    }
};

/// Those of the settled options that have no effect, with what they need.
pub(super) fn without_effect(options: &StreamingOptions, serving: Option<Serving>) -> Vec<Error> {
    let (own, default) = (Said::of(options), Said::of(&StreamingOptions::default()));
    let missed = DEPENDENTS.iter().filter(|dependent| !dependent.need.is_met(options, serving));
    let missed = missed.filter_map(|dependent| {
        let in_file = options.source.as_ref().filter(|source| source.gives(dependent.key));
        let option = match in_file {
            Some(source) => source.name(dependent.key)?,
            None if (dependent.differs)(&own, &default) => OptionName::new(dependent.key),
            None => return None,
        };
        Some((option, dependent.need))
    });
    let needs = |(option, need): (OptionName, Need)| Error::OptionAlone { option, needs: need.told() };
    switched_off(options).into_iter().chain(missed).map(needs).collect()
}

/// What is said of whom to ask where nobody is to be asked.
fn switched_off(options: &StreamingOptions) -> Option<(OptionName, Need)> {
    const TABLE: &str = "gateway.authentication";
    let nobody = AuthOptions::default().with_enabled(false);
    let said = options.authentication.as_ref().filter(|said| !said.enabled)?;
    let in_file = options.source.as_ref().and_then(|source| source.first_in(TABLE, "enabled"));
    let option = in_file.or_else(|| (*said != nobody).then(|| OptionName::new(TABLE)))?;
    Some((option, Need::Asking))
}

#[cfg(test)]
mod tests;

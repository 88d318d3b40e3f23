//! Who asks: tokens, where they are found, and for how long they are good.

mod algorithm;
mod claims;
mod credential;
mod fetch;
mod guest;
mod key;
mod key_set;
mod options;
mod principal;
mod rejected;
mod revocation;
mod secret;
mod ticket;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Header, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize as _;
use streamnest_core::{BoxFuture, Timestamp};

pub use self::{
    algorithm::Algorithm,
    options::{AuthenticationOptions, TokenKey},
    principal::Principal,
    revocation::Revocation,
    secret::Secret,
};
use self::{
    claims::Claims,
    key::{Key, Keys},
    revocation::Revocations,
    ticket::Tickets,
};
pub(crate) use self::{
    credential::{Admission, admit},
    guest::leash,
    key_set::Surroundings,
    rejected::Rejected,
    revocation::revoke,
    ticket::issue,
};
use crate::Error;

/// The most keys that one token is tried with: strangers decide how many tokens there are, and each try is a signature to check.
const MAX_TRIES: usize = 8;
/// The most that is told of why claims cannot be read, in characters.
const MAX_REASON: usize = 200;

/// Checks tokens.
pub(crate) struct Authenticator {
    pub(crate) options: AuthenticationOptions,
    keys: Keys,
    surroundings: Surroundings,
    tickets: Tickets,
    revocations: Revocations,
}

impl Authenticator {
    pub(crate) fn new(options: AuthenticationOptions, surroundings: Surroundings) -> Result<Self, Error> {
        Ok(Self {
            keys: options.keys()?,
            surroundings,
            tickets: Tickets::new(options.max_tickets, options.ticket_ttl),
            revocations: Revocations::new(
                options.max_revocations,
                options.max_revocations_per_tenant,
                options.expires_in + options.leeway,
            ),
            options,
        })
    }

    /// Reads key sets anew where that is due, at the latest for this token. What is given has to be waited for before the token is
    /// [verified](Self::verify); `None` if there is nothing to wait for. Of the token only its `kid` and `alg` are looked at.
    pub(crate) fn refresh(&self, token: &str) -> Option<BoxFuture<'static, ()>> {
        let is_unknown = |keys: &Keys| {
            let is_short = token.len() <= self.options.max_token_bytes;
            let header = is_short.then(|| decode_header(token).ok()).flatten();
            header.is_some_and(|header| keys.find(|key| fits(key, &header).then_some(())).is_none())
        };
        let reading = self.keys.refresh(is_unknown, &self.surroundings);
        (!reading.is_empty()).then(|| {
            Box::pin(async move {
                for mut ended in reading {
                    // Nothing is sent: the channel ends with the reading.
                    let _ = ended.changed().await;
                }
            }) as BoxFuture<'static, ()>
        })
    }

    /// Fetches the key sets that are not known yet, so that the first token need not wait for them.
    pub(crate) fn prepare(&self) {
        let _ = self.keys.refresh(Keys::are_missing, &self.surroundings);
    }

    /// How old the oldest key set is that was read.
    pub(crate) fn keys_age(&self) -> Option<Duration> {
        self.keys.age()
    }

    /// Checks a token: its signature by a key that is known here, then what it says.
    ///
    /// Of its header only `alg` and `kid` count, and they choose among our keys: it names no key that is not here, and
    /// no address that is asked.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, Rejected> {
        let bad = |reason: &str| Rejected::Invalid { reason: reason.into() };
        let limit = self.options.max_token_bytes;
        if token.len() > limit {
            return Err(bad(&format!(
                "it is over the limit of {limit} bytes, `authentication.max_token_bytes`"
            )));
        }
        let header =
            decode_header(token).map_err(|_| bad("it is no JWT, or signed by no known algorithm"))?;
        if has_crit(token) {
            // RFC 7515 §4.1.11: what it names has to be understood, and nothing is.
            return Err(bad("its header has `crit`"));
        }
        let mut rejected = bad("its signature is of no known key");
        let mut tries = 0;
        let mut check = |key: &Key, named: bool| {
            let is_named = key.id.is_some() && key.id == header.kid;
            if is_named != named || !fits(key, &header) || tries == MAX_TRIES {
                return None;
            }
            tries += 1;
            let mut validation = Validation::new(header.alg);
            validation.algorithms.clone_from(&key.algorithms);
            // What it says is checked by its types and by the server's clock, as soon as the signature is good.
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_aud) = (false, false);
            match decode::<Claims>(token, &key.decoding, &validation) {
                Ok(token) => Some(token.claims.check(&self.options, now, key.mark.clone())),
                Err(error) => {
                    if let ErrorKind::Json(error) = error.kind() {
                        // The signature was good, so these are its issuer's own words. They may be long.
                        let error: String = error.to_string().chars().take(MAX_REASON).collect();
                        rejected = bad(&format!("its claims cannot be read: {error}"));
                    }
                    None
                }
            }
        };
        // Those that it names go first, so that none of them is out of its reach.
        let checked =
            self.keys.find(|key| check(key, true)).or_else(|| self.keys.find(|key| check(key, false)));
        match checked {
            Some(principal) => self.checked(Arc::new(principal?), now),
            // It may be of a key that nobody could tell us yet.
            None if tries == 0 && self.keys.are_missing() => Err(Rejected::KeysUnavailable),
            None => Err(rejected),
        }
    }

    /// Takes a ticket, which is gone then.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Arc<Principal>, Rejected> {
        let unknown = || Rejected::Invalid { reason: "the ticket is used, expired or unknown".into() };
        let principal = self.tickets.redeem(ticket).ok_or_else(unknown)?;
        self.still_good(&principal, now)?;
        Ok(principal)
    }

    /// Whether a token that was good has neither expired since, nor been revoked.
    pub(crate) fn still_good(&self, principal: &Principal, now: Timestamp) -> Result<(), Rejected> {
        match self.time_left(principal, now).is_zero() {
            true => Err(Rejected::Expired),
            false => self.check_again(principal, now),
        }
    }

    fn checked(&self, principal: Arc<Principal>, now: Timestamp) -> Result<Arc<Principal>, Rejected> {
        self.check_again(&principal, now).map(|()| principal)
    }

    /// Whether it was revoked, or the key that signed it withdrawn. Whoever enters a connection asks anew, for it may have been
    /// just before that.
    pub(crate) fn check_again(&self, principal: &Principal, now: Timestamp) -> Result<(), Rejected> {
        let is_withdrawn = principal.mark.as_ref().is_some_and(|mark| !self.keys.have(mark));
        match is_withdrawn || self.revocations.concern(principal, now) {
            true => Err(Rejected::Revoked),
            false => Ok(()),
        }
    }

    /// How long its token is still good.
    pub(crate) fn time_left(&self, principal: &Principal, now: Timestamp) -> Duration {
        claims::time_left(principal.expires_at(), now, self.options.leeway)
    }

    /// Takes no token any more that `revocation` is about and that was issued till now.
    pub(crate) fn revoke(&self, revocation: &Revocation, now: Timestamp) -> Result<(), Error> {
        self.revocations.add(revocation.clone(), now)
    }
}

/// Whether the header of a token names extensions that have to be understood. What is `null` or anything else there is no list of
/// none, so it is asked whether the key stands there at all. A header that cannot be read may have one.
fn has_crit(token: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Keys {
        #[serde(default, deserialize_with = "is_there")]
        crit: bool,
    }
    fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
    }
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap_or_default());
    header.ok().and_then(|header| serde_json::from_slice::<Keys>(&header).ok()).is_none_or(|keys| keys.crit)
}

/// Whether a token with this header may be signed by a key.
fn fits(key: &Key, header: &Header) -> bool {
    let named = match (&key.id, &header.kid) {
        (Some(id), Some(named)) => id == named,
        (Some(_), None) | (None, _) => true,
    };
    named && key.algorithms.contains(&header.alg)
}

//! Who asks: tokens, where they are found, and for how long they are good.

mod algorithm;
mod claims;
mod credential;
mod guest;
mod key;
mod options;
mod principal;
mod rejected;
mod revocation;
mod secret;
mod ticket;

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use streamnest_core::Timestamp;

pub use self::{
    algorithm::Algorithm,
    options::{AuthenticationOptions, TokenKey},
    principal::Principal,
    revocation::Revocation,
    secret::Secret,
};
use self::{claims::Claims, key::Keys, revocation::Revocations, ticket::Tickets};
pub(crate) use self::{
    credential::{Admission, admit},
    guest::leash,
    rejected::Rejected,
    ticket::issue,
};
use crate::Error;

/// The most keys that one token is tried with.
const MAX_TRIES: usize = 8;

/// Checks tokens.
pub(crate) struct Authenticator {
    pub(crate) options: AuthenticationOptions,
    keys: Keys,
    tickets: Tickets,
    revocations: Revocations,
}

impl Authenticator {
    pub(crate) fn new(options: AuthenticationOptions) -> Result<Self, Error> {
        let keys = Keys::new(&options.keys, options.key_refresh)
            .map_err(|reason| Error::InvalidOption { option: "authentication.keys", reason })?;
        Ok(Self {
            keys,
            tickets: Tickets::new(options.max_tickets, options.ticket_ttl),
            revocations: Revocations::new(options.max_revocations, options.expires_in + options.leeway),
            options,
        })
    }

    /// Checks a token: its signature by a key that is known here, then what it says.
    ///
    /// Of its header only `alg` and `kid` count, and they choose among our keys: it names no key that is not here, and
    /// nothing is fetched.
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
        if header.crit.is_some() {
            // RFC 7515 §4.1.11: what it names has to be understood, and nothing is.
            return Err(bad("its header has `crit`"));
        }
        let fits = |key: &&key::Key| {
            let named = match (&key.id, &header.kid) {
                (Some(id), Some(named)) => id == named,
                (Some(_), None) | (None, _) => true,
            };
            named && key.algorithms.contains(&header.alg)
        };
        let mut rejected = bad("its signature is of no known key");
        for key in self.keys.current().iter().filter(fits).take(MAX_TRIES) {
            let mut validation = Validation::new(header.alg);
            validation.algorithms.clone_from(&key.algorithms);
            // What it says is checked by its types and by the server's clock, as soon as the signature is good.
            validation.required_spec_claims.clear();
            (validation.validate_exp, validation.validate_aud) = (false, false);
            match decode::<Claims>(token, &key.decoding, &validation) {
                Ok(token) => {
                    let principal = Arc::new(token.claims.check(&self.options, now)?);
                    return self.checked(principal, now);
                }
                Err(error) => {
                    if let ErrorKind::Json(error) = error.kind() {
                        // The signature was good, so these are its issuer's own words.
                        rejected = bad(&format!("its claims cannot be read: {error}"));
                    }
                }
            }
        }
        Err(rejected)
    }

    /// Takes a ticket, which is gone then.
    pub(crate) fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Arc<Principal>, Rejected> {
        let unknown = || Rejected::Invalid { reason: "the ticket is used, expired or unknown".into() };
        let principal = self.tickets.redeem(ticket).ok_or_else(unknown)?;
        if self.time_left(&principal, now).is_zero() {
            return Err(Rejected::Expired);
        }
        self.checked(principal, now)
    }

    fn checked(&self, principal: Arc<Principal>, now: Timestamp) -> Result<Arc<Principal>, Rejected> {
        self.check_again(&principal, now).map(|()| principal)
    }

    /// Whether it was revoked. Whoever enters a connection asks anew, for it may have been just before that.
    pub(crate) fn check_again(&self, principal: &Principal, now: Timestamp) -> Result<(), Rejected> {
        match self.revocations.concern(principal, now) {
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

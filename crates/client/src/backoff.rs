//! How long to wait before coming back.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use streamnest_protocol::native::{CloseCode, Reconnect};

use crate::{ClientOptions, Error, tokens::Tokens};

/// The longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The wait before the `attempt`-th attempt, from 1, after `error`; `None` if it must not come back at all.
///
/// Where a token was not taken, another one may be.
pub(crate) fn delay(
    options: &ClientOptions,
    tokens: &Tokens,
    attempt: u32,
    error: &Error,
) -> Option<Duration> {
    let new_token = error.is_of_token() && tokens.may_change();
    if !error.is_retryable() && !new_token {
        return None;
    }
    let jittered = jitter(ceiling(options, attempt), random_fraction());
    let asked = match error {
        Error::Closed { code: Some(code), reason }
            if Reconnect::after(Some(*code)) == Reconnect::AfterDelay =>
        {
            CloseCode::retry_after(reason)
        }
        Error::Refused { retry_after, .. } => *retry_after,
        _ => None,
    };
    // Not before the server asked for, and not all at that very moment.
    Some(asked.map_or(jittered, |asked| asked.min(MAX_RETRY_AFTER).saturating_add(jittered)))
}

/// The longest wait before the `attempt`-th attempt.
fn ceiling(options: &ClientOptions, attempt: u32) -> Duration {
    let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
    options.backoff.saturating_mul(factor).min(options.max_backoff)
}

/// Full jitter: anything between nothing and `ceiling`.
fn jitter(ceiling: Duration, fraction: f64) -> Duration {
    Duration::try_from_secs_f64(ceiling.as_secs_f64() * fraction).unwrap_or(ceiling)
}

/// A number from 0 to 1. Every `RandomState` is keyed anew by the standard library, from the system's randomness; that
/// is enough for a jitter and needs no further dependency.
fn random_fraction() -> f64 {
    RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16, reason: &str) -> Error {
        Error::Closed { code: Some(code), reason: reason.into() }
    }

    #[test]
    fn the_ceiling_doubles_up_to_its_limit() {
        let options = ClientOptions::default();
        let ceilings: Vec<_> = [1, 2, 3, 6, 7, 40, u32::MAX].map(|attempt| ceiling(&options, attempt)).into();
        let millis = [200, 400, 800, 6400, 10_000, 10_000, 10_000];
        assert_eq!(ceilings, millis.map(Duration::from_millis));
    }

    #[test]
    fn the_jitter_is_full() {
        let options = ClientOptions::default().with_backoff(Duration::from_millis(1000));
        let waits: Vec<_> =
            (0..200).map(|_| delay(&options, &Tokens::None, 1, &closed(1001, "")).unwrap()).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(1000)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(250)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(750)));
    }

    #[test]
    fn no_option_is_too_long_to_reckon_with() {
        let options = ClientOptions::default().with_backoff(Duration::MAX).with_max_backoff(Duration::MAX);
        assert_eq!(jitter(ceiling(&options, u32::MAX), 1.0), Duration::MAX);
        assert!(
            delay(&options, &Tokens::None, 1, &closed(4429, &CloseCode::retry_after_reason(Duration::MAX)))
                .is_some()
        );
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it() {
        let options = ClientOptions::default();
        let reason = CloseCode::retry_after_reason(Duration::from_secs(3));
        let wait = delay(&options, &Tokens::None, 1, &closed(4429, &reason)).unwrap();
        assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_millis(3200), "{wait:?}");
        let forever = CloseCode::retry_after_reason(Duration::MAX);
        assert!(
            delay(&options, &Tokens::None, 1, &closed(4429, &forever)).unwrap() < Duration::from_secs(302)
        );
    }

    #[test]
    fn a_refusal_that_asks_for_time_gets_it_too() {
        use streamnest_protocol::native::ErrorFrame;
        let options = ClientOptions::default();
        let frame = ErrorFrame::new("too_many_requests", "over the limit", true);
        let asked = Error::from(frame.clone().with_retry_after(Duration::from_secs(3)));
        let wait = delay(&options, &Tokens::None, 1, &asked).unwrap();
        assert!(wait >= Duration::from_secs(3) && wait <= Duration::from_millis(3200), "{wait:?}");
        let wait = delay(&options, &Tokens::None, 1, &Error::from(frame)).unwrap();
        assert!(wait <= Duration::from_millis(200), "{wait:?}");
    }

    #[test]
    fn it_comes_back_for_a_new_token_only_where_there_may_be_one() {
        let options = ClientOptions::default();
        let provided = Tokens::Provided(std::sync::Arc::new(|| async { Ok("new".to_owned()) }));
        let refused = Error::Upgrade { status: 401, body: String::new() };
        for error in [closed(4401, "token has expired"), refused] {
            assert!(delay(&options, &provided, 1, &error).is_some());
            assert!(delay(&options, &Tokens::Fixed("old".into()), 1, &error).is_none());
        }
        assert!(delay(&options, &provided, 1, &closed(4403, "")).is_none());
    }

    #[test]
    fn it_stays_away_where_the_table_says_so() {
        let options = ClientOptions::default();
        for code in CloseCode::ALL {
            let comes_back = matches!(code.reconnect(), Reconnect::Jittered | Reconnect::AfterDelay);
            assert_eq!(
                delay(&options, &Tokens::None, 1, &closed(code.code(), "")).is_some(),
                comes_back,
                "{code:?}"
            );
        }
    }
}

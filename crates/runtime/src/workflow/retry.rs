//! How often and when a visit that failed is tried again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use crate::{NodeError, options::setters};

/// How often and when a visit that failed is tried again.
///
/// Before attempt `n + 1` it waits `backoff × 2ⁿ⁻¹`, at most `max_backoff`, less a random share of at most `jitter`. What a
/// failed attempt streamed stays in the log; the `node_retry` event after it says that it is void.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RetryOptions {
    /// The most times that a visit is tried, the first included. Default 3.
    pub attempts: u32,
    /// The wait before the second attempt. Default 1 s.
    pub backoff: Duration,
    /// The longest wait. Default 30 s.
    pub max_backoff: Duration,
    /// The share of a wait, from 0 to 1, of which a random part is left out, so that many who failed together do not come
    /// again together. Default 0.5.
    pub jitter: f64,
    /// Which failures are worth another try; empty for all but `node_panicked`, which is a fault of the node. Default all.
    pub on: Vec<RetryOn>,
}

/// A failure that is worth another try.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RetryOn {
    /// One with this code, for example `node_timeout`.
    Code(String),
    /// One that [says so](NodeError::is_retryable).
    Retryable,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            jitter: 0.5,
            on: Vec::new(),
        }
    }
}

setters! {
    RetryOptions {
        with_attempts attempts: u32,
        with_backoff backoff: Duration,
        with_max_backoff max_backoff: Duration,
        with_jitter jitter: f64,
        with_on on: Vec<RetryOn>,
    }
}

impl RetryOptions {
    /// The wait before the attempt after `attempt` if that failed with `error`; `None` if it is not tried again. `random`
    /// is from 0 to 1.
    pub(crate) fn wait_after(&self, attempt: u32, error: &NodeError, random: f64) -> Option<Duration> {
        if attempt >= self.attempts || error.is_conclusive() || !self.takes(error) {
            return None;
        }
        let factor = 2_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = self.backoff.saturating_mul(factor).min(self.max_backoff);
        Some(wait.mul_f64((1.0 - self.jitter * random).clamp(0.0, 1.0)))
    }

    fn takes(&self, error: &NodeError) -> bool {
        if self.on.is_empty() {
            return error.code() != "node_panicked";
        }
        self.on.iter().any(|on| match on {
            RetryOn::Code(code) => code == error.code(),
            RetryOn::Retryable => error.is_retryable(),
        })
    }
}

/// From 0 to 1, for the share that jitter takes.
pub(crate) fn random() -> f64 {
    let number = RandomState::new().hash_one(0_u8) >> 11;
    // 53 bits, as many as a fraction holds.
    number as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> NodeError {
        NodeError::public("no")
    }

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_takes_a_share() {
        let retry = RetryOptions::default()
            .with_attempts(9)
            .with_backoff(Duration::from_millis(100))
            .with_max_backoff(Duration::from_millis(500));
        for (attempt, random, millis) in [
            (1, 0.0, 100),
            (2, 0.0, 200),
            (3, 0.0, 400),
            (4, 0.0, 500),
            (8, 0.0, 500),
            (2, 1.0, 100),
            (2, 0.5, 150),
        ] {
            let wait = retry.wait_after(attempt, &error(), random);
            assert_eq!(wait, Some(Duration::from_millis(millis)), "attempt {attempt}, random {random}");
        }
        assert_eq!(retry.wait_after(9, &error(), 0.0), None);
    }

    #[test]
    fn only_the_failures_that_are_named_are_tried_again() {
        let code = |code: &str| RetryOn::Code(code.into());
        for (on, error, again) in [
            (vec![], error(), true),
            (vec![], NodeError::coded("node_panicked", "x"), false),
            (vec![code("node_panicked")], NodeError::coded("node_panicked", "x"), true),
            (vec![code("node_timeout")], error(), false),
            (vec![RetryOn::Retryable], error(), false),
            (vec![RetryOn::Retryable], error().retryable(), true),
            (vec![code("node_timeout"), RetryOn::Retryable], NodeError::coded("node_timeout", "x"), true),
        ] {
            let retry = RetryOptions::default().with_on(on.clone());
            assert_eq!(retry.wait_after(1, &error, 0.0).is_some(), again, "{on:?} {error:?}");
        }
    }
}

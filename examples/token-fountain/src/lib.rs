//! Streams marked tokens at any rate: the subject of every load figure.
//!
//! ```sh
//! cargo run --release -p token-fountain -- --listen 127.0.0.1:8080
//! curl 127.0.0.1:8080/workflows/token-fountain/executions -H 'content-type: application/json' \
//!   -d '{"executionId": "f1", "input": {"index": 1, "tokens": 100, "tokens_per_second": 50, "token_bytes": 64}}'
//! curl -N 127.0.0.1:8080/executions/f1/events
//! ```
//!
//! A token is `~T`, the fountain's index as 6 hexadecimal digits, the token's number from 0 as 8, the time at which it
//! was made in nanoseconds since 1970 as 16, and `~`, padded with `x` to `token_bytes`: so a reader can tell what it lost,
//! got twice or out of order, and how long a token took, without knowing anything else.

use std::{
    pin::pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use streamnest::prelude::*;
use tokio::time::{Instant, sleep_until};

/// The bytes of a token's mark.
const MARK_BYTES: u32 = 33;

/// What a fountain is asked for.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fountain {
    /// The fountain's own number, in each of its tokens.
    index: u32,
    /// How many tokens it streams.
    tokens: u32,
    /// How many a second; 0 is as fast as it goes.
    #[state(default)]
    tokens_per_second: f64,
    /// The length of a token, at least 33 bytes.
    #[state(default = MARK_BYTES)]
    token_bytes: u32,
    /// Tokens that wait for each other; 1 sends each at once.
    #[state(default)]
    buffer_size: Option<u32>,
}

/// Streams tokens, and keeps time as well as it can.
#[derive(Clone, Copy, Debug)]
pub struct TokenFountain;

#[workflow(name = "token-fountain", state = Fountain, description = "Streams marked tokens at any rate")]
impl TokenFountain {
    #[node(kind = "task", start)]
    #[stream_token]
    async fn pour(&self, state: &Fountain, ctx: &NodeContext) -> NodeResult<()> {
        let Fountain { index, tokens, tokens_per_second, token_bytes, buffer_size } = *state;
        if token_bytes < MARK_BYTES {
            return Err(NodeError::public(format!(
                "`token_bytes` is {token_bytes}; it must be at least {MARK_BYTES}"
            )));
        }
        if index >= 1 << 24 {
            return Err(NodeError::public("`index` must be below 16777216, to fit 6 hexadecimal digits"));
        }
        if let Some(buffer_size) = buffer_size {
            ctx.set_buffer_size(buffer_size as usize);
        }
        let padding = "x".repeat((token_bytes - MARK_BYTES) as usize);
        let began = Instant::now();
        let mut due = pin!(sleep_until(began));
        for number in 0..tokens {
            if tokens_per_second > 0.0 {
                // The time of each token is reckoned from the start, so that delays do not add up.
                let since = Duration::from_secs_f64(f64::from(number) / tokens_per_second);
                due.as_mut().reset(began + since);
                due.as_mut().await;
            } else if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            let mut token = String::with_capacity(token_bytes as usize);
            token.push_str("~T");
            push_hex::<6>(&mut token, index.into());
            push_hex::<8>(&mut token, number.into());
            push_hex::<16>(&mut token, nanos);
            token.push('~');
            token.push_str(&padding);
            ctx.token(token).await;
        }
        Ok(())
    }
}

/// Appends `value` as so many hexadecimal digits; many times faster than `format!`, which would be a fifth of what is
/// measured.
fn push_hex<const DIGITS: usize>(out: &mut String, value: u64) {
    let mut digits = [b'0'; DIGITS];
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        let nibble = (value >> (4 * place)) as u8 & 15;
        *digit = nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
    }
    out.push_str(str::from_utf8(&digits).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_what_format_writes() {
        for value in [0, 1, 0xabc, 0x00de_adbe_ef01_2345, u64::MAX >> 8] {
            let mut text = String::new();
            push_hex::<14>(&mut text, value);
            assert_eq!(text, format!("{value:014x}"));
        }
    }
}

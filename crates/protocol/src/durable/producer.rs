//! What an idempotent producer claims (§5.2.1).

use streamnest_core::Producer;

use super::{Invalid, header};

/// The greatest epoch and sequence number: 2^53 − 1.
const MAX: u64 = (1 << 53) - 1;
/// The longest producer id, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Reads the three headers, which come together or not at all.
///
/// # Errors
/// [`Invalid::Header`], [`Invalid::Headers`].
pub fn parse(id: Option<&str>, epoch: Option<&str>, seq: Option<&str>) -> Result<Option<Producer>, Invalid> {
    match (id, epoch, seq) {
        (None, None, None) => Ok(None),
        (Some(id), Some(epoch), Some(seq)) => {
            if id.is_empty() || id.len() > MAX_ID_BYTES {
                return Err(Invalid::header(header::PRODUCER_ID, id, "1 to 256 bytes"));
            }
            let epoch = number(header::PRODUCER_EPOCH, epoch)?;
            let seq = number(header::PRODUCER_SEQ, seq)?;
            Ok(Some(Producer { id: id.into(), epoch, seq }))
        }
        _ => Err(Invalid::Headers {
            reason: "`Producer-Id`, `Producer-Epoch` and `Producer-Seq` come together; send all three or none",
        }),
    }
}

fn number(name: &'static str, text: &str) -> Result<u64, Invalid> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_decimal { text.parse().ok() } else { None };
    let legal = "a whole number from 0 to 2^53 - 1 in decimal";
    number.filter(|number| *number <= MAX).ok_or_else(|| Invalid::header(name, text, legal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_headers_come_together() {
        assert_eq!(parse(None, None, None), Ok(None));
        let producer = Producer { id: "worker".into(), epoch: 1, seq: 9_007_199_254_740_991 };
        assert_eq!(parse(Some("worker"), Some("1"), Some("9007199254740991")), Ok(Some(producer)));
        assert!(matches!(parse(Some("worker"), None, Some("0")), Err(Invalid::Headers { .. })));
        assert!(matches!(parse(Some(""), Some("0"), Some("0")), Err(Invalid::Header { .. })));
    }

    #[test]
    fn numbers_are_plain() {
        for bad in ["", "-1", "+1", "1abc", "0x1", "1e3", "1.0", "9007199254740992"] {
            assert!(parse(Some("p"), Some(bad), Some("0")).is_err(), "{bad}");
            assert!(parse(Some("p"), Some("0"), Some(bad)).is_err(), "{bad}");
        }
    }
}

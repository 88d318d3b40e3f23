//! Base64 by RFC 4648, bit by bit, so that it shares nothing with what it checks.

/// The alphabet of §4.
pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The alphabet of §5, for URLs.
pub(super) const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Writes without padding.
pub(super) fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let digit = |bits: &[u8]| bits.iter().chain([0; 6].iter()).take(6).fold(0, |sum, bit| sum << 1 | bit);
    bits.chunks(6).map(|bits| char::from(alphabet[usize::from(digit(bits))])).collect()
}

/// Reads what has no padding; `None` if a character is not of the alphabet, or a bit that means nothing is set (§3.5).
pub(super) fn decode(text: &str, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| alphabet.iter().position(|known| *known == byte));
    let digits: Vec<usize> = digits.collect::<Option<_>>()?;
    let bits: Vec<u8> =
        digits.iter().flat_map(|digit| (0..6).rev().map(move |at| (digit >> at & 1) as u8)).collect();
    let (whole, rest) = bits.split_at(bits.len() / 8 * 8);
    let is_whole = rest.len() < 6 && rest.iter().all(|bit| *bit == 0);
    let byte = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum << 1 | bit);
    is_whole.then(|| whole.chunks(8).map(byte).collect())
}

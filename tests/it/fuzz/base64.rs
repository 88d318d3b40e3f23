//! Base64 by RFC 4648, bit by bit, so that it shares nothing with what it checks.

/// The alphabet of §4.
pub(super) const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes without padding.
pub(super) fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let digit = |bits: &[u8]| bits.iter().chain([0; 6].iter()).take(6).fold(0, |sum, bit| sum << 1 | bit);
    bits.chunks(6).map(|bits| char::from(alphabet[usize::from(digit(bits))])).collect()
}

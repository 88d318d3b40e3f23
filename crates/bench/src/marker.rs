//! The marker that every token of a fountain carries.
//!
//! `~T`, the fountain's index as 6 hex digits, the token's number from 0 as 8, the Unix time in nanoseconds at which it was
//! made as 16, and `~`: 33 bytes. Several tokens may stand in one frame, and the padding between them is `x`.

#[cfg(test)]
pub(crate) mod tests;

/// The bytes of a marker.
pub(crate) const LENGTH: usize = 33;

/// What a marker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marker {
    /// Which fountain.
    pub(crate) index: u32,
    /// Which token of it, from 0.
    pub(crate) number: u64,
    /// When it was made, in nanoseconds since the Unix epoch.
    pub(crate) made_ns: u64,
}

/// The markers in a message, in their order.
pub(crate) struct Markers<'a> {
    rest: &'a [u8],
}

/// Finds the markers in a whole message.
pub(crate) fn find(message: &[u8]) -> Markers<'_> {
    Markers { rest: message }
}

impl Iterator for Markers<'_> {
    type Item = Marker;

    fn next(&mut self) -> Option<Marker> {
        loop {
            let start = memchr::memchr(b'~', self.rest)?;
            let (_, from) = self.rest.split_at(start);
            let candidate = from.get(..LENGTH)?;
            if let Some(marker) = parse(candidate) {
                (_, self.rest) = from.split_at(LENGTH);
                return Some(marker);
            }
            (_, self.rest) = from.split_at(1);
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Marker> {
    let digits = bytes.strip_prefix(b"~T")?.strip_suffix(b"~")?;
    let (index, rest) = digits.split_at_checked(6)?;
    let (number, made) = rest.split_at_checked(8)?;
    Some(Marker { index: u32::try_from(hex(index)?).ok()?, number: hex(number)?, made_ns: hex(made)? })
}

/// The value of lower- or upper-case hex digits; at most 16 of them.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut bad = 0;
    for &digit in digits {
        let nibble = NIBBLES.get(usize::from(digit)).copied().unwrap_or(BAD);
        bad |= nibble;
        value = value << 4 | u64::from(nibble & 15);
    }
    (bad & BAD == 0).then_some(value)
}

/// The mark of a byte that is no hex digit.
const BAD: u8 = 0x80;

const NIBBLES: [u8; 256] = {
    let mut table = [BAD; 256];
    let mut byte = 0;
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated at compile time, where a wrong index is a compile error"
    )]
    while byte < 256 {
        table[byte] = match byte as u8 {
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            digit @ b'A'..=b'F' => digit - b'A' + 10,
            _ => BAD,
        };
        byte += 1;
    }
    table
};

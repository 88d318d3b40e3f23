//! How records lie in a segment: a header that stands for itself, and a body.
//!
//! ```text
//! 0   4 bytes  magic `SNR1`
//! 4   4 bytes  length of the body
//! 8   8 bytes  number of the log
//! 16  8 bytes  last entry of that log after this record
//! 24  4 bytes  CRC-32 of the body
//! 28  4 bytes  CRC-32 of bytes 0 to 27, begun with the salt of the segment
//! 32           body
//! ```
//!
//! All numbers are little-endian; the CRC is that of ISO 3309 (zlib's). The header has a checksum of its own, so that a
//! record whose body is damaged still says whose it is, and so that the records after it are found.

use crate::codec::Reader;

/// What every record begins with.
pub(crate) const MAGIC: [u8; 4] = *b"SNR1";
/// The length of a header, in bytes.
pub(crate) const HEADER: usize = 32;
/// The longest body, in bytes: what a header that is damaged must not pretend.
pub(crate) const MAX_BODY: usize = 1 << 30;

/// The header of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The length of the body.
    pub(crate) length: u32,
    /// The number of the log; 0 for what concerns no log.
    pub(crate) log: u64,
    /// The last entry of the log after this record.
    pub(crate) last: u64,
    body_crc: u32,
}

impl Header {
    /// Reads the header that `bytes` begin with, if there is a whole and sound one.
    pub(crate) fn read(bytes: &[u8], salt: u32) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        if header.get(..4)? != MAGIC
            || salted(header.get(..28)?, salt) != Reader::new(header.get(28..)?).u32()?
        {
            return None;
        }
        let mut reader = Reader::new(header.get(4..)?);
        let header =
            Self { length: reader.u32()?, log: reader.u64()?, last: reader.u64()?, body_crc: reader.u32()? };
        (header.length as usize <= MAX_BODY).then_some(header)
    }

    /// What a header says of its log and of the length of its record, without a look at its checksum: for those who need only to
    /// get past it, and notice when they have gone wrong. `None` if that is no header.
    pub(crate) fn peek(bytes: &[u8]) -> Option<(u64, usize)> {
        let mut reader = Reader::new(bytes.get(..HEADER)?.strip_prefix(&MAGIC)?);
        let (length, log) = (reader.u32()?, reader.u64()?);
        Some((log, HEADER + length as usize))
    }

    /// The length of the record, in bytes.
    pub(crate) const fn record_length(&self) -> usize {
        HEADER + self.length as usize
    }

    /// The body behind this header in `bytes`, which begin with it, if it is whole and sound.
    pub(crate) fn body<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(HEADER..self.record_length()).filter(|body| crc32fast::hash(body) == self.body_crc)
    }

    /// Whether the body was this one when it was written, whatever stands there now.
    pub(crate) fn is_of(&self, body: &[u8]) -> bool {
        self.length as usize == body.len() && crc32fast::hash(body) == self.body_crc
    }

    /// What a header that is not sound would say if one of its bits were not flipped, if that is clear.
    ///
    /// A CRC of 32 bits tells all single flips in 32 bytes apart, so at most one repair fits.
    pub(crate) fn guess(bytes: &[u8], salt: u32) -> Option<Self> {
        let mut header: [u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        for bit in 0..HEADER * 8 {
            let flip = |header: &mut [u8; HEADER]| {
                if let Some(byte) = header.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            };
            flip(&mut header);
            let read = Self::read(&header, salt);
            if read.is_some() {
                return read;
            }
            flip(&mut header);
        }
        None
    }
}

/// The CRC-32 of the first bytes of a header. A salt makes it another, so that nobody who does not know it can write bytes that pass
/// for a record.
fn salted(bytes: &[u8], salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

/// Gives the record that `bytes` begin with the checksum that its header has in a segment of this salt.
pub(crate) fn stamp(bytes: &mut [u8], salt: u32) {
    if let Some((fixed, check)) = bytes.get_mut(..HEADER).and_then(|header| header.split_at_mut_checked(28)) {
        check.copy_from_slice(&salted(fixed, salt).to_le_bytes());
    }
}

/// Appends a record to `out` whose body is what `write` writes. It passes for one once it is [stamped](stamp).
pub(crate) fn write(log: u64, last: u64, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    write(out);
    let body = out.get(start + HEADER..).unwrap_or_default();
    let (length, crc) = (u32::try_from(body.len()).unwrap_or(u32::MAX), crc32fast::hash(body));
    let fields: [&[u8]; 5] =
        [&MAGIC, &length.to_le_bytes(), &log.to_le_bytes(), &last.to_le_bytes(), &crc.to_le_bytes()];
    let mut rest = out.get_mut(start..start + HEADER).unwrap_or_default();
    for field in fields {
        let Some((place, after)) = rest.split_at_mut_checked(field.len()) else { return };
        place.copy_from_slice(field);
        rest = after;
    }
}

/// The longest body in which a flipped bit is looked for, in bytes. In a longer one other damage would pass for a flipped bit
/// more often than once in 100,000 times.
const MAX_MENDED: usize = 4 << 10;

/// The record that `bytes` begin with as it was written, if a bit is flipped in its header, in its body, or in each.
pub(crate) fn mend(bytes: &[u8], salt: u32) -> Option<(Header, Vec<u8>)> {
    let header = Header::read(bytes, salt).or_else(|| Header::guess(bytes, salt))?;
    let mut body = bytes.get(HEADER..header.record_length())?.to_vec();
    if header.is_of(&body) {
        return Some((header, body));
    }
    if body.len() > MAX_MENDED {
        return None;
    }
    let bit = flipped_bit(crc32fast::hash(&body) ^ header.body_crc, body.len())?;
    *body.get_mut(bit / 8)? ^= 1 << (bit % 8);
    Some((header, body)).filter(|(header, body)| header.is_of(body))
}

/// The bit of `length` bytes that is flipped if their CRC differs by `difference` from what it was.
///
/// A CRC is linear: the difference is that of the one bit, which is found by going back from the last, a step of the register each.
fn flipped_bit(difference: u32, length: usize) -> Option<usize> {
    let step = |register: u32| (register >> 1) ^ (POLYNOMIAL & (register & 1).wrapping_neg());
    let mut register = step(1);
    for back in 1..=length * 8 {
        if register == difference {
            return Some(length * 8 - back);
        }
        register = step(register);
    }
    None
}

/// The polynomial of the CRC, its bits in reverse order.
const POLYNOMIAL: u32 = 0xEDB8_8320;

/// What stands at some place of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found<'a> {
    /// A sound record.
    Record {
        header: Header,
        body: &'a [u8],
        /// Where the next one begins.
        end: usize,
    },
    /// Bytes up to `end` that are no sound record. The header is what they said of themselves, as far as that is sure.
    Damage { header: Option<Header>, end: usize },
}

/// Reads the record at `offset` of `bytes`; `None` at the end of them.
///
/// Damage ends where the next sound record begins, or at the end of `bytes`.
pub(crate) fn read(bytes: &[u8], offset: usize, salt: u32) -> Option<Found<'_>> {
    let rest = bytes.get(offset..).filter(|rest| !rest.is_empty())?;
    let header = Header::read(rest, salt);
    if let Some((header, body)) = header.and_then(|header| Some((header, header.body(rest)?))) {
        return Some(Found::Record { header, body, end: offset + header.record_length() });
    }
    let said = header.or_else(|| Header::guess(rest, salt));
    // Where the header says that the next record begins is the first place to look; then every place.
    let promised = said.map(|said| offset + said.record_length());
    let sound = |at: &usize| {
        let header = bytes.get(*at..).and_then(|rest| Header::read(rest, salt));
        header.is_some_and(|header| *at + header.record_length() <= bytes.len())
    };
    let end = promised
        .filter(sound)
        .or_else(|| (offset + 1..bytes.len()).filter(|at| is_magic(bytes, *at)).find(sound));
    Some(Found::Damage { header: said, end: end.unwrap_or(bytes.len()) })
}

fn is_magic(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 4).is_some_and(|magic| magic == MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stamps both records.
    fn restamp(bytes: &mut [u8], salt: u32) {
        stamp(bytes, salt);
        stamp(&mut bytes[HEADER + 5..], salt);
    }

    fn two() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(7, 3, &mut bytes, |out| out.extend_from_slice(b"hello"));
        write(8, 1, &mut bytes, |out| out.extend_from_slice(b"you"));
        restamp(&mut bytes, 0);
        bytes
    }

    #[test]
    fn records_read_back_what_they_were() {
        let bytes = two();
        let Some(Found::Record { header, body, end }) = read(&bytes, 0, 0) else { panic!("no record") };
        assert_eq!((header.log, header.last, body, end), (7, 3, &b"hello"[..], HEADER + 5));
        let Some(Found::Record { header, body, end }) = read(&bytes, end, 0) else { panic!("no record") };
        assert_eq!((header.log, header.last, body, end), (8, 1, &b"you"[..], bytes.len()));
        assert_eq!(read(&bytes, end, 0), None);
    }

    #[test]
    fn every_flipped_bit_is_found_and_the_next_record_too() {
        let bytes = two();
        for bit in 0..(HEADER + 5) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read(&flipped, 0, 0) {
                Some(Found::Damage { header: Some(header), end }) => {
                    assert_eq!((header.log, header.last, end), (7, 3, HEADER + 5), "bit {bit}");
                }
                other => panic!("bit {bit}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_record_with_a_flipped_bit_is_mended_to_what_it_was() {
        let bytes = two();
        for bit in 0..(HEADER + 5) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (header, body) = mend(&flipped, 0).unwrap_or_else(|| panic!("bit {bit}"));
            assert_eq!((header.log, header.last, &body[..]), (7, 3, &b"hello"[..]), "bit {bit}");
        }
        let mut two_in_one_byte = bytes;
        two_in_one_byte[HEADER] ^= 0b11;
        assert_eq!(mend(&two_in_one_byte, 0), None);
    }

    #[test]
    fn a_record_of_another_salt_is_none() {
        let mut bytes = two();
        stamp(&mut bytes, 9);
        assert!(matches!(read(&bytes, 0, 9), Some(Found::Record { .. })));
        // What looks like a record of no salt within is not taken for one.
        assert!(
            matches!(read(&bytes, 0, 8), Some(Found::Damage { header: None, end }) if end == bytes.len())
        );
    }

    #[test]
    fn a_torn_record_is_damage_to_the_end() {
        let bytes = two();
        for length in HEADER + 6..bytes.len() {
            let torn = &bytes[..length];
            assert!(
                matches!(read(torn, HEADER + 5, 0), Some(Found::Damage { end, .. }) if end == length),
                "{length} bytes"
            );
        }
    }
}

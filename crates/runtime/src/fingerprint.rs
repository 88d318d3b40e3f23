//! What is kept of an input, so that a request can be known again.

use std::hash::{BuildHasher as _, RandomState};

/// Stands for a text, in a few bytes however long the text is.
///
/// Two texts of one length have the same one by a chance of 2^-128, and nobody outside can look for such two: the keys of
/// both hashes are random and never leave the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint {
    length: usize,
    hashes: [u64; 2],
}

/// Takes fingerprints; those of two different takers cannot be compared.
#[derive(Debug)]
pub(crate) struct Fingerprints([RandomState; 2]);

impl Fingerprints {
    pub(crate) fn new() -> Self {
        Self([RandomState::new(), RandomState::new()])
    }

    pub(crate) fn of(&self, text: &str) -> Fingerprint {
        let [first, second] = &self.0;
        Fingerprint { length: text.len(), hashes: [first.hash_one(text), second.hash_one(text)] }
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprints;

    #[test]
    fn equal_texts_are_known_again_and_others_are_not_whatever_one_hash_says() {
        let taker = Fingerprints::new();
        let long = "x".repeat(1 << 20);
        assert_eq!(taker.of(&long), taker.of(&long.clone()));
        let others = [long.replacen('x', "y", 1), format!("{long}x"), String::new()];
        for other in &others {
            assert_ne!(taker.of(&long), taker.of(other));
        }
        let mut hashes = [taker.of("a").hashes, taker.of("b").hashes].concat();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 4, "the two hashes are independent");
    }
}

//! Whether the tokens of one connection came whole, once and in order.

#[cfg(test)]
mod tests;

/// The check of one connection: it expects the numbers of one fountain from 0, each once.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    index: u32,
    next: u64,
    /// Ranges that were jumped over and have not come since, in ascending order; empty as long as all is well.
    missing: Vec<(u64, u64)>,
    /// The server has told of a gap, and no token has come since: the next jump is no silent one.
    gap_told: bool,
    /// Tokens that a told gap swallowed.
    pub(crate) told: u64,
    /// What was seen.
    pub(crate) faults: Faults,
}

/// What was wrong with the order of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Faults {
    /// Tokens that never came.
    pub(crate) lost: u64,
    /// Tokens that came again.
    pub(crate) doubled: u64,
    /// Tokens that came after a later one.
    pub(crate) reordered: u64,
    /// Tokens of another execution.
    pub(crate) foreign: u64,
}

impl Faults {
    /// Whether nothing was wrong.
    pub(crate) fn none(self) -> bool {
        self == Self::default()
    }

    /// Adds those of another connection.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.foreign += other.foreign;
    }
}

impl Sequence {
    /// The check of a connection that follows the fountain `index` from its start.
    pub(crate) fn new(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    /// The number of tokens up to the highest one seen.
    pub(crate) fn reached(&self) -> u64 {
        self.next
    }

    /// Notes that the server told of a gap here.
    pub(crate) fn note_gap(&mut self) {
        self.gap_told = true;
    }

    /// Notes one token.
    #[inline]
    pub(crate) fn note(&mut self, index: u32, number: u64) {
        if index == self.index && number == self.next {
            self.next += 1;
            self.gap_told = false;
        } else {
            self.note_fault(index, number);
        }
    }

    #[cold]
    fn note_fault(&mut self, index: u32, number: u64) {
        if index != self.index {
            self.faults.foreign += 1;
        } else if number > self.next {
            if self.gap_told {
                self.told += number - self.next;
            } else {
                self.missing.push((self.next, number));
            }
            self.next = number + 1;
            self.gap_told = false;
        } else if let Some(at) = self.missing.iter().position(|&(from, to)| from <= number && number < to) {
            self.faults.reordered += 1;
            let (from, to) = self.missing.remove(at);
            let around = [(from, number), (number + 1, to)];
            self.missing.splice(at..at, around.into_iter().filter(|(from, to)| from < to));
        } else {
            self.faults.doubled += 1;
        }
    }

    /// The faults at the end of a fountain of `total` tokens, and the tokens that told gaps swallowed.
    pub(crate) fn finish(&self, total: u64) -> (Faults, u64) {
        let missing: u64 = self.missing.iter().map(|(from, to)| to - from).sum();
        let tail = total.saturating_sub(self.next);
        let (tail_lost, tail_told) = if self.gap_told { (0, tail) } else { (tail, 0) };
        (Faults { lost: missing + tail_lost, ..self.faults }, self.told + tail_told)
    }
}

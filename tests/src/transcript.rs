//! What a client got, and what is wrong with it.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use serde_json::Value;

/// The entries that one client got, in the order in which it got them.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    entries: Vec<Value>,
    /// Ranges that it was told to have missed, inclusive.
    gaps: Vec<(u64, u64)>,
}

/// How often something went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Entries that never came.
    pub lost: usize,
    /// Entries that came again.
    pub doubled: usize,
    /// Entries that came before an earlier one.
    pub reordered: usize,
    /// Holes that nobody told of.
    pub silent_gaps: usize,
}

impl Transcript {
    /// Takes a frame; whether it was the terminal status.
    pub fn push(&mut self, frame: Value) -> bool {
        if frame["type"] == "gap" {
            let bound = |name: &str| frame["payload"][name].as_u64().unwrap();
            self.gaps.push((bound("from"), bound("to")));
            return false;
        }
        let Some(_) = frame["sequence"].as_u64() else { return false };
        let terminal = frame["type"] == "status" && frame["payload"]["status"] != "running";
        self.entries.push(frame);
        terminal
    }

    /// The position after the last entry.
    pub fn position(&self) -> Option<&str> {
        self.entries.last()?["position"].as_str()
    }

    /// The entries.
    pub fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// The gaps that it was told.
    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }

    /// What is wrong, if the log holds the entries 1 to `last`.
    pub fn faults(&self, last: u64) -> Faults {
        let mut faults = Faults::default();
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        let mut highest = 0;
        for entry in &self.entries {
            let sequence = entry["sequence"].as_u64().unwrap();
            *seen.entry(sequence).or_default() += 1;
            if sequence < highest {
                faults.reordered += 1;
            } else if sequence > highest + 1 && !self.told(highest + 1, sequence - 1) {
                faults.silent_gaps += 1;
            }
            highest = highest.max(sequence);
        }
        faults.doubled = seen.values().map(|count| count - 1).sum();
        faults.lost = (1..=last).filter(|n| !seen.contains_key(n) && !self.told(*n, *n)).count();
        faults
    }

    fn told(&self, from: u64, to: u64) -> bool {
        (from..=to).all(|n| self.gaps.iter().any(|(first, last)| (*first..=*last).contains(&n)))
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.silent_gaps += other.silent_gaps;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, reordered, silent_gaps } = self;
        write!(f, "lost={lost} doubled={doubled} reordered={reordered} silent_gaps={silent_gaps}")
    }
}

//! Ends a text before a stop sequence.

use std::collections::VecDeque;

/// Lets tokens pass, and holds back those with which a stop sequence may begin.
pub(super) struct StopGuard {
    sequences: Vec<String>,
    held: VecDeque<String>,
}

/// What became of a token.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Guarded {
    /// The text goes on.
    On,
    /// A stop sequence is complete: the text ends here.
    Stopped,
}

impl StopGuard {
    pub(super) const fn new(sequences: Vec<String>) -> Self {
        Self { sequences, held: VecDeque::new() }
    }

    /// Takes a token and gives out what is surely before any stop sequence.
    pub(super) fn push(&mut self, token: String, out: &mut VecDeque<String>) -> Guarded {
        self.held.push_back(token);
        let text: String = self.held.iter().map(String::as_str).collect();
        // The one that is complete first counts, however the text is cut into tokens.
        let found = self.sequences.iter().filter_map(|sequence| {
            let start = text.find(sequence.as_str())?;
            Some((start + sequence.len(), start))
        });
        if let Some((_, start)) = found.min() {
            let mut left = start;
            for token in self.held.drain(..) {
                let part = token.get(..left.min(token.len())).unwrap_or_default();
                left -= part.len();
                if !part.is_empty() {
                    out.push_back(part.to_owned());
                }
            }
            return Guarded::Stopped;
        }
        let mut passed = text.len() - self.longest_beginning(&text);
        while let Some(token) = self.held.pop_front_if(|token| token.len() <= passed) {
            passed -= token.len();
            out.push_back(token);
        }
        Guarded::On
    }

    /// Gives out what was held back: no more is to come.
    pub(super) fn flush(&mut self, out: &mut VecDeque<String>) {
        out.extend(self.held.drain(..));
    }

    /// The length of the longest end of `text` with which a stop sequence begins, in bytes.
    fn longest_beginning(&self, text: &str) -> usize {
        let begins = |end: &str| self.sequences.iter().any(|sequence| sequence.starts_with(end));
        text.char_indices().filter_map(|(at, _)| text.get(at..)).find(|end| begins(end)).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests;

//! What a run is expected to say.

use std::{collections::BTreeMap, fmt, ops::RangeFull};

use crate::Transcript;

/// One thing that a run is expected to say, or `..` for whatever it says between two others.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Pattern {
    /// A line of a [`Transcript`] that begins with these words; `*` stands for any word.
    Line(String),
    /// Any lines, also none.
    Gap,
}

impl Pattern {
    /// Whether it means `line`.
    pub fn matches(&self, line: &str) -> bool {
        let Self::Line(pattern) = self else { return true };
        let mut rest = line;
        for word in pattern.split(' ') {
            let Some(after) = rest.strip_prefix(word) else {
                let end = rest.find(' ').unwrap_or(rest.len());
                if word == "*" && end > 0 {
                    rest = rest.get(end..).unwrap_or_default().trim_start_matches(' ');
                    continue;
                }
                return false;
            };
            // A word ends where the line's word ends.
            match after.strip_prefix(' ') {
                Some(next) => rest = next,
                None if after.is_empty() => rest = after,
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => f.write_str(line),
            Self::Gap => f.write_str(".."),
        }
    }
}

/// What can be written for a [`Pattern`]: text, or `..`.
pub trait IntoPattern {
    /// The pattern.
    fn into_pattern(self) -> Pattern;
}

impl IntoPattern for &str {
    fn into_pattern(self) -> Pattern {
        Pattern::Line(self.trim().to_owned())
    }
}

impl IntoPattern for String {
    fn into_pattern(self) -> Pattern {
        self.as_str().into_pattern()
    }
}

impl IntoPattern for RangeFull {
    fn into_pattern(self) -> Pattern {
        Pattern::Gap
    }
}

/// Holds a run to what it is expected to say, in order.
///
/// Each expectation is text, which is the beginning of a line of the [`Transcript`], word by word, with `*` for any word;
/// or `..`, which is any number of lines. Without `..` the next line must be the expected one, and the last expectation the
/// last line.
///
/// A failure shows the whole transcript: which line met which expectation, and where the next one was looked for in vain.
///
/// ```
/// # use streamnest_testing::{Transcript, assert_events};
/// # fn example(run: Transcript) {
/// assert_events!(run, ["status running", .., "token write \"Hello\"", .., "node_complete *", "status completed"]);
/// # }
/// ```
#[macro_export]
macro_rules! assert_events {
    ($transcript:expr, [$($pattern:expr),* $(,)?]) => {
        $crate::check(&$transcript, &[$($crate::IntoPattern::into_pattern($pattern)),*])
    };
}

/// What [`assert_events!`] calls.
///
/// # Panics
/// If the run did not say what is expected.
#[track_caller]
#[allow(clippy::panic, reason = "this is an assertion")]
pub fn check(transcript: &Transcript, expected: &[Pattern]) {
    if let Err(difference) = compare(transcript.lines(), expected) {
        panic!("{difference}");
    }
}

/// Where lines and patterns part.
///
/// `reached` has, for each number of patterns, how many lines they may mean; and with it, how many the patterns before
/// the last one then mean.
pub(crate) fn compare(lines: &[String], expected: &[Pattern]) -> Result<(), String> {
    let mut reached: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::from([(0, 0)])];
    for pattern in expected {
        let before = reached.last().map(|ends| ends.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
        let next: BTreeMap<usize, usize> = match (pattern, before.first()) {
            (Pattern::Gap, Some(first)) => (*first..=lines.len()).map(|end| (end, *first)).collect(),
            _ => {
                let meant = |end: &usize| lines.get(*end).is_some_and(|line| pattern.matches(line));
                before.into_iter().filter(meant).map(|end| (end + 1, end)).collect()
            }
        };
        if next.is_empty() {
            return Err(tell(lines, expected, &reached));
        }
        reached.push(next);
    }
    match reached.last().is_some_and(|ends| ends.contains_key(&lines.len())) {
        true => Ok(()),
        false => Err(tell(lines, expected, &reached)),
    }
}

/// The lines with the expectations that they met, and where the next one is missing.
fn tell(lines: &[String], expected: &[Pattern], reached: &[BTreeMap<usize, usize>]) -> String {
    let count = reached.len() - 1;
    let after_gap = count.checked_sub(1).and_then(|last| expected.get(last)) == Some(&Pattern::Gap);
    let ends = reached.last().into_iter().flat_map(BTreeMap::keys).copied();
    // After a gap the next one was looked for in all that follows, else only in the next line.
    let end = if after_gap { ends.min() } else { ends.max() }.unwrap_or(0);
    let met = way(reached, end);
    let (what, near) = match expected.get(count) {
        Some(missing) => {
            let candidates = lines.iter().enumerate().skip(end).take(if after_gap { lines.len() } else { 1 });
            let near =
                candidates.max_by_key(|(_, line)| alike(&missing.to_string(), line)).map(|(index, _)| index);
            let of = expected.len();
            (format!("run does not say `{missing}`, expectation {} of {of}", count + 1), near)
        }
        None => (format!("run says more than is expected, from line {} on", end + 1), Some(end)),
    };
    let place = match end {
        0 => String::new(),
        end => format!(", after line {end}"),
    };
    let mut text = format!("{what}{place}\n");
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0).min(60);
    for (index, line) in lines.iter().enumerate() {
        let mark = if near == Some(index) { '?' } else { ' ' };
        let met = met.get(&index).and_then(|number| expected.get(*number));
        let met = met.map(|pattern| format!("  = {pattern}")).unwrap_or_default();
        text.push_str(format!("{mark}{:4}  {line:width$}{met}", index + 1).trim_end());
        text.push('\n');
    }
    if lines.is_empty() {
        text.push_str("      (it said nothing)\n");
    }
    text
}

/// Which expectation each line met, on the way to `end`.
fn way(reached: &[BTreeMap<usize, usize>], mut end: usize) -> BTreeMap<usize, usize> {
    let mut met = BTreeMap::new();
    for (number, ends) in reached.iter().enumerate().skip(1).rev() {
        let Some(begin) = ends.get(&end).copied() else { break };
        met.extend((begin..end).map(|line| (line, number - 1)));
        end = begin;
    }
    met
}

/// How many words two lines have in common at their beginning, and then how many characters.
fn alike(a: &str, b: &str) -> (usize, usize) {
    let words = a.split(' ').zip(b.split(' ')).take_while(|(a, b)| a == b).count();
    (words, a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count())
}

#[cfg(test)]
mod tests;

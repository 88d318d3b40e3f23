//! How many tests ran, read from what the test runners print.

use std::ops::AddAssign;

/// Tests by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Ran and held.
    pub(crate) passed: u64,
    /// Ran and did not hold, ran out of time, or could not run.
    pub(crate) failed: u64,
    /// Did not run: ignored, skipped or filtered out.
    pub(crate) skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Counts {
    /// Says what is wrong with these counts, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self { failed: 1.., .. } => Err(format!("{} failed", self.failed)),
            Self { skipped: 1.., .. } => {
                Err(format!("{} did not run; every test runs, always", self.skipped))
            }
            Self { passed: 0, .. } => Err("no test ran at all".into()),
            _ => Ok(()),
        }
    }

    /// Reads cargo-nextest's summary:
    /// `Summary [   0.009s] 12 tests run: 10 passed (1 slow), 2 failed, 1 skipped`.
    ///
    /// A run that stopped early says `7/12 tests run`: what was left counts as skipped.
    pub(crate) fn from_nextest(output: &str) -> Option<Self> {
        let summary = output.lines().rfind(|line| line.trim_start().starts_with("Summary ["))?;
        let (ran, results) = summary.split_once(" run:")?;
        let mut counts = Self::default();
        for part in without_parentheses(results).split(',') {
            let (number, what) = part.trim().split_once(' ')?;
            let number = number.parse::<u64>().ok()?;
            match what.trim() {
                "passed" => counts.passed += number,
                "skipped" => counts.skipped += number,
                _ => counts.failed += number,
            }
        }
        let ran = ran.split(']').next_back()?.split_whitespace().next()?;
        if let Some((ran, all)) = ran.split_once('/') {
            counts.skipped += all.parse::<u64>().ok()?.saturating_sub(ran.parse().ok()?);
        }
        Some(counts)
    }

    /// Adds up libtest's result lines, one for each test binary or crate:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`.
    pub(crate) fn from_libtest(output: &str) -> Option<Self> {
        let mut sum = None;
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
            let sum: &mut Self = sum.get_or_insert_default();
            for part in line.split_once(". ")?.1.split(';') {
                let Some((number, what)) = part.trim().split_once(' ') else { continue };
                let Ok(number) = number.parse::<u64>() else { continue };
                match what {
                    "passed" => sum.passed += number,
                    "failed" => sum.failed += number,
                    "ignored" | "filtered out" => sum.skipped += number,
                    _ => {}
                }
            }
        }
        sum
    }

    /// Reads the summary of `node --test`: lines like `ℹ pass 3` (spec) or `# pass 3` (TAP).
    pub(crate) fn from_node(output: &str) -> Option<Self> {
        let number = |what: &str| {
            output.lines().rev().find_map(|line| {
                let rest = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))?;
                rest.strip_prefix(what)?.strip_prefix(' ')?.trim().parse::<u64>().ok()
            })
        };
        Some(Self {
            passed: number("pass")?,
            failed: number("fail")? + number("cancelled")?,
            skipped: number("skipped")? + number("todo")?,
        })
    }
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn reads_the_summary_of_nextest() {
        for (line, expected) in [
            ("     Summary [   0.009s] 3 tests run: 3 passed, 0 skipped", counts(3, 0, 0)),
            ("     Summary [   0.009s] 1 test run: 1 passed, 2 skipped", counts(1, 0, 2)),
            (
                "     Summary [  61.2s] 12 tests run: 9 passed (2 slow, 1 leaky), 1 failed, 1 timed out, 1 exec failed, 4 skipped",
                counts(9, 3, 4),
            ),
            ("     Summary [   0.1s] 7/12 tests run: 6 passed, 1 failed, 0 skipped", counts(6, 1, 5)),
            ("    Starting 3 tests across 2 binaries", None),
        ] {
            assert_eq!(
                Counts::from_nextest(&format!("    PASS\n{line}\nerror: test run failed")),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn adds_up_the_result_lines_of_libtest() {
        let output = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(Counts::from_libtest(output), counts(7, 2, 3));
        assert_eq!(Counts::from_libtest("running 0 tests"), None);
    }

    #[test]
    fn reads_the_summary_of_node_in_both_of_its_forms() {
        for mark in ["ℹ", "#"] {
            let output = [
                "tests 9",
                "suites 0",
                "pass 3",
                "fail 1",
                "cancelled 2",
                "skipped 1",
                "todo 2",
                "duration_ms 5.1",
            ]
            .map(|line| format!("{mark} {line}\n"))
            .concat();
            assert_eq!(Counts::from_node(&output), counts(3, 3, 3));
        }
        assert_eq!(Counts::from_node("pass 3"), None);
    }

    #[test]
    fn failed_skipped_and_missing_tests_are_each_an_error() {
        let check = |passed, failed, skipped| Counts { passed, failed, skipped }.check();
        assert_eq!(check(3, 0, 0), Ok(()));
        assert_eq!(check(3, 1, 0), Err("1 failed".into()));
        assert!(check(3, 0, 1).unwrap_err().starts_with("1 did not run"));
        assert_eq!(check(0, 0, 0), Err("no test ran at all".into()));
    }
}

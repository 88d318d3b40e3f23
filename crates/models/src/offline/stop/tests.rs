use proptest::prelude::*;

use super::*;

/// The tokens that pass after each push, and whether the last push stopped.
fn run(sequences: &[&str], tokens: &[&str]) -> (Vec<Vec<String>>, bool) {
    let mut guard = StopGuard::new(sequences.iter().map(|text| (*text).to_owned()).collect());
    let mut passed = Vec::new();
    for token in tokens {
        let mut out = VecDeque::new();
        let stopped = guard.push((*token).to_owned(), &mut out) == Guarded::Stopped;
        passed.push(out.into());
        if stopped {
            return (passed, true);
        }
    }
    (passed, false)
}

#[test]
fn without_stop_sequences_every_token_passes_at_once() {
    let (passed, stopped) = run(&[], &["a", " b"]);
    assert_eq!((passed.concat().len(), passed[0].len(), stopped), (2, 1, false));
}

#[test]
fn a_sequence_across_tokens_is_held_back_until_it_is_decided() {
    let (passed, stopped) = run(&["the end"], &["so", " the", " mid", " the", " ending"]);
    let expected: [&[&str]; 5] = [&["so"], &[], &[" the", " mid"], &[], &[" "]];
    assert_eq!(passed, expected);
    assert!(stopped);
}

#[test]
fn a_sequence_within_a_token_cuts_the_token() {
    let (passed, stopped) = run(&[". ", "é"], &["caf", "é crème"]);
    assert_eq!((passed.concat().concat().as_str(), stopped), ("caf", true));
    let (passed, stopped) = run(&["ff"], &["ca", "ffè"]);
    assert_eq!((passed.concat().concat().as_str(), stopped), ("ca", true));
}

#[test]
fn what_was_held_back_comes_out_at_the_end() {
    let mut guard = StopGuard::new(vec!["the end".into()]);
    let mut out = VecDeque::new();
    assert_eq!(guard.push("the".into(), &mut out), Guarded::On);
    assert!(out.is_empty());
    guard.flush(&mut out);
    assert_eq!(out, ["the"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn exactly_the_text_before_the_first_complete_sequence_passes(
        tokens in prop::collection::vec("[abé]{1,3}", 0..20),
        sequences in prop::collection::vec("[abé]{1,4}", 0..4),
    ) {
        let text = tokens.concat();
        let found = |sequence: &String| text.find(sequence).map(|start| (start + sequence.len(), start));
        let end = sequences.iter().filter_map(found).min().map(|(_, start)| start);
        let mut guard = StopGuard::new(sequences);
        let mut out = VecDeque::new();
        let stopped = tokens.into_iter().any(|token| guard.push(token, &mut out) == Guarded::Stopped);
        if !stopped {
            guard.flush(&mut out);
        }
        prop_assert_eq!(stopped, end.is_some());
        prop_assert_eq!(out.into_iter().collect::<String>(), &text[..end.unwrap_or(text.len())]);
    }
}

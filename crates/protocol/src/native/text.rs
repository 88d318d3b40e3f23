//! Small texts: JSON of frames that are not hot, and what stands in messages.

use serde::Serialize;

/// The longest piece of a client's own text that a message repeats, in characters.
const MAX_QUOTE: usize = 40;

/// JSON of a frame. Its types have string keys and write without fail, so there is always text.
pub(super) fn to_json(frame: &impl Serialize) -> String {
    serde_json::to_string(frame).expect("frames have string keys and serialize without fail")
}

/// What a client wrote, cut short and with its control characters escaped, to be shown in backticks.
pub(super) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        shown.push('…');
    }
    shown
}

/// `, did you mean …` if one of `known` is near to `text`, else nothing.
pub(super) fn suggestion(text: &str, known: &[&str]) -> String {
    if text.chars().nth(MAX_QUOTE).is_some() {
        return String::new();
    }
    let near = known.iter().map(|name| (distance(text, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len() / 4 => format!("; did you mean `{name}`?"),
        _ => ";".into(),
    }
}

/// Levenshtein's distance, letter case and `_` not counted, so that `execution_id` is `executionId`.
fn distance(a: &str, b: &str) -> usize {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
    };
    let (a, b) = (plain(a), plain(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (y, above) in b.iter().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("evnts", "events", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(distance("execution_id", "executionId"), 0);
    }

    #[test]
    fn a_quote_is_short_and_shows_no_control_character() {
        assert_eq!(quote("a\nb"), "a\\nb");
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), MAX_QUOTE + 1);
    }
}

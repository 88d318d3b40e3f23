//! The near miss behind a misspelt name, and the list of the names that would have been right.

/// The name that `wrong` was most likely meant to be, if one is near enough to name it without guessing.
pub(crate) fn nearest<'a>(wrong: &str, legal: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = fold(wrong);
    let allowed = (wrong.chars().count() / 3).max(1);
    legal
        .into_iter()
        .map(|candidate| (distance(&wrong, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` or nothing: what follows the wrong name in a message.
pub(crate) fn hint<'a>(wrong: &str, legal: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wrong, legal).map(|near| format!("; did you mean `{near}`?")).unwrap_or_else(|| ";".into())
}

/// `a, b, c`.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Case, `-` and `_` are what people mix up without misspelling a word.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ':')).flat_map(char::to_lowercase).collect()
}

/// How many characters must be put in, taken out, replaced or swapped with their neighbour to make `a` of `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (row, from) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        for (column, to) in b.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let replace = at(&above, column) + usize::from(from != *to);
            let mut best = replace.min(at(&above, column + 1) + 1).min(left + 1);
            let swapped = last == Some(*to) && column.checked_sub(1).and_then(|i| b.get(i)) == Some(&from);
            if let (true, Some(index)) = (swapped, column.checked_sub(1)) {
                best = best.min(at(&before, index) + 1);
            }
            current.push(best);
            left = best;
        }
        last = Some(from);
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_finds_its_name() {
        let legal = ["buffer_size", "batch_size", "flush_interval"];
        assert_eq!(nearest("flush_intervall", legal), Some("flush_interval"));
        assert_eq!(nearest("bufer_size", legal), Some("buffer_size"));
        assert_eq!(nearest("bacth_size", legal), Some("batch_size"));
        assert_eq!(nearest("flushInterval", legal), Some("flush_interval"));
        assert_eq!(nearest("reveiw", ["draft", "review"]), Some("review"));
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(nearest("retries", ["kind", "start", "timeout"]), None);
        assert_eq!(hint("retries", ["kind"]), ";");
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("reveiw", "review"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}

//! The near miss behind a name that is not there.

/// The name that `wrong` was most likely meant to be, if one is near enough to name it without guessing.
pub(crate) fn nearest<'a, T>(
    wrong: &str,
    legal: impl IntoIterator<Item = (&'a str, T)>,
) -> Option<(&'a str, T)> {
    let wrong = fold(wrong);
    let allowed = (wrong.len() / 3).max(1);
    legal
        .into_iter()
        .map(|(name, of)| (distance(&wrong, &fold(name)), name, of))
        .filter(|(distance, ..)| *distance <= allowed)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, name, of)| (name, of))
}

/// Case, `-` and `_` are what people mix up without misspelling a word; `dyn` does not make two names alike.
fn fold(name: &str) -> Vec<char> {
    let name = name.strip_prefix("dyn ").unwrap_or(name);
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// How many characters must be put in, taken out or replaced to make `a` of `b` (Levenshtein's distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.iter().enumerate() {
        let mut left = row + 1;
        let mut diagonal = row;
        for (to, cell) in b.iter().zip(above.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(from != to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = above.first_mut() {
            *first = row + 1;
        }
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(wrong: &str, legal: &[&'static str]) -> Option<&'static str> {
        nearest(wrong, legal.iter().map(|name| (*name, ()))).map(|(name, ())| name)
    }

    #[test]
    fn a_slip_of_the_keyboard_finds_its_name() {
        assert_eq!(near("ChatModle", &["Cache", "ChatModel"]), Some("ChatModel"));
        assert_eq!(near("dyn ChatModels", &["dyn ChatModel"]), Some("dyn ChatModel"));
        assert_eq!(near("fast_model", &["fast-model"]), Some("fast-model"));
        assert_eq!(near("Pool", &["Cache", "ChatModel"]), None);
    }

    #[test]
    fn a_distance_counts_each_slip() {
        let of = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(of("kitten", "sitting"), 3);
        assert_eq!(of("", "abc"), 3);
        assert_eq!(of("abc", ""), 3);
        assert_eq!(of("abc", "abc"), 0);
    }
}

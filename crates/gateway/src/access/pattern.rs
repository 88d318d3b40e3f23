//! Patterns of names.

/// A pattern in which `*` stands for anything, also for nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pattern(Box<str>);

impl Pattern {
    /// The longest, in bytes.
    pub(crate) const MAX: usize = 256;

    /// `None` if it is too long.
    pub(crate) fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX).then(|| Self(text.into()))
    }

    /// Whether it matches all of `name`. At most as many steps as the two lengths multiplied.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // Each part as early as may be leaves the most for those after it.
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("a", "a"),
            ("run-*", "run-1"),
            ("*-1", "run-1"),
            ("r*n*1", "run-n1"),
            ("a*a", "aa"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", "ab"),
            ("a", "ba"),
            ("a*a", "a"),
            ("run-*", "Run-1"),
            ("run.*", "run-1"),
            ("a*b*c", "acb"),
            ("?", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(Pattern::new(&"*".repeat(257)).is_none());
        assert!(!Pattern::new(&"*a".repeat(128)).unwrap().matches(&"a".repeat(127)));
    }
}

//! Words that stand for work not done.

use super::Violations;
use crate::workspace::SourceFile;

/// Where they are looked for. Prose may speak of them.
const SEARCHED: [&str; 10] = ["rs", "js", "mjs", "css", "html", "c", "sh", "toml", "yml", "json"];

/// The words, put together here so that this file holds none of them.
const WORDS: [(&str, &str); 6] = [
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("todo", "!"), "write what belongs there"),
    (concat!("unimplemented", "!"), "write what belongs there"),
    (concat!("#[ig", "nore"), "every test runs, always"),
    (concat!(".on", "ly("), "it keeps every other test from running"),
];

/// Refuses the words, wherever they stand.
pub(super) fn check(files: &[SourceFile]) -> Violations {
    let mut violations = Violations::new();
    for file in files.iter().filter(|file| SEARCHED.contains(&file.extension())) {
        for (number, line) in file.text.lines().enumerate() {
            for (word, advice) in WORDS.iter().filter(|(word, _)| contains_word(line, word)) {
                violations.push(format!("{}:{} holds `{word}`; {advice}", file.path, number + 1));
            }
        }
    }
    violations
}

/// Whether `word` stands in `line` and is not the end or the start of a longer one.
pub(super) fn contains_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let joined =
            |edge: Option<char>, end: Option<char>| edge.is_some_and(is_part) && end.is_some_and(is_part);
        !joined(before, word.chars().next()) && !joined(word.chars().next_back(), after)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn every_word_is_found_in_every_kind_of_file() {
        for extension in SEARCHED {
            for (word, _) in WORDS {
                let found = check(&[file(&format!("a.{extension}"), &format!("first\n    {word}\n"))]);
                assert_eq!(found.len(), 1, "{extension} {word}");
                assert!(found[0].starts_with(&format!("a.{extension}:2 holds `{word}`")), "{found:?}");
            }
        }
    }

    #[test]
    fn longer_words_and_prose_are_left_alone() {
        let longer = format!("{}S my_{} {}", WORDS[0].0, WORDS[2].0, "toDo");
        assert!(check(&[file("a.rs", &longer)]).is_empty());
        assert!(check(&[file("a.md", WORDS[0].0)]).is_empty());
    }
}

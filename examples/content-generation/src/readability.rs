//! How easily a text reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A word of a text, as the score counts it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Word {
    /// Its letters, in lower case.
    text: String,
    /// Its syllables, at least one.
    syllables: u32,
    /// Whether a sentence ends with it.
    ends_sentence: bool,
}

impl Word {
    /// The word as it stands in a text, with what punctuation clings to it.
    pub(crate) fn new(word: &str) -> Self {
        let ends_sentence =
            word.trim_end_matches(['"', '\'', ')', '”', '’']).ends_with(['.', '!', '?', ':', ';']);
        let text: String = word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        let syllables = syllables(&text);
        Self { text, syllables, ends_sentence }
    }
}

/// Groups of vowels, less a silent final `e`: what readability scores take for syllables.
fn syllables(word: &str) -> u32 {
    let is_vowel = |c: char| "aeiouyäöüéèêáàâóòôíìîúùû".contains(c);
    let mut count = 0;
    let mut in_vowels = false;
    for character in word.chars() {
        let vowel = is_vowel(character);
        count += u32::from(vowel && !in_vowels);
        in_vowels = vowel;
    }
    let silent = word.ends_with('e') && !word.ends_with("le") && count > 1;
    (count - u32::from(silent)).max(1)
}

/// Flesch's reading ease (R. Flesch, "A new readability yardstick", 1948): about 100 for what a child reads, 60 for plain
/// English, 0 for what is hardly read at all. Clamped to 0..=100; 0 for no words.
pub(crate) fn flesch_reading_ease(words: &[Word]) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    // A text that breaks off has one sentence more than it has ends of sentences.
    let ends = words.iter().filter(|word| word.ends_sentence).count();
    let open = words.last().is_some_and(|word| !word.ends_sentence);
    let sentences = (ends + usize::from(open)) as f64;
    let count = words.len() as f64;
    let syllables: f64 = words.iter().map(|word| f64::from(word.syllables)).sum();
    (206.835 - 1.015 * (count / sentences) - 84.6 * (syllables / count)).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> f64 {
        flesch_reading_ease(&text.split_whitespace().map(Word::new).collect::<Vec<_>>())
    }

    #[test]
    fn short_words_in_short_sentences_read_more_easily() {
        let easy = score("The cat sat on the mat. It was warm. The sun was out.");
        let hard = score(
            "Institutional reorganisation necessitates comprehensive interdepartmental communication strategies.",
        );
        assert!(easy > 90.0, "{easy}");
        assert!(hard < 10.0, "{hard}");
    }

    #[test]
    fn syllables_are_groups_of_vowels_without_a_silent_e() {
        for (word, expected) in
            [("cat", 1), ("table", 2), ("write", 1), ("readability", 5), ("the", 1), ("42", 1)]
        {
            assert_eq!(syllables(word), expected, "{word}");
        }
    }

    #[test]
    fn no_text_has_the_lowest_score() {
        assert_eq!(score(""), 0.0);
    }
}

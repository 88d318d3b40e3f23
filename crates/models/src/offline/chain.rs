//! Which words follow which.

use std::{collections::HashMap, fmt};

use crate::offline::corpus::{bare, ends_sentence};

/// What the weights of words are parts of; large, so that they are whole numbers.
const RAREST: u32 = 1_000_000;

/// A word's number in a chain.
pub(super) type WordId = u32;

/// Which words follow which in a corpus.
pub(super) struct Chain {
    order: usize,
    words: Vec<Word>,
    /// The words of each bare form: `log`, `Log,` and `log.` are of one.
    by_bare: HashMap<String, Vec<WordId>>,
    /// What follows the last 1, 2 … `order` words.
    followers: Vec<HashMap<Box<[WordId]>, Vec<Follower>>>,
    sentences: Vec<Sentence>,
    /// How many words the corpus has.
    length: usize,
}

/// A word as it is written, punctuation included.
struct Word {
    text: Box<str>,
    ends_sentence: bool,
    occurrences: u32,
}

/// A word that follows, and how often it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Follower {
    pub(super) word: WordId,
    pub(super) count: u32,
}

/// A sentence of the corpus: where an answer may begin.
struct Sentence {
    /// Its first words, at most as many as the chain's order.
    opening: Box<[WordId]>,
    words: Box<[WordId]>,
}

impl Chain {
    pub(super) fn new(order: usize, paragraphs: &[Vec<String>]) -> Self {
        let mut chain = Self {
            order,
            words: Vec::new(),
            by_bare: HashMap::new(),
            followers: vec![HashMap::new(); order],
            sentences: Vec::new(),
            length: 0,
        };
        let mut ids = HashMap::new();
        for paragraph in paragraphs {
            let line: Vec<WordId> = paragraph.iter().map(|text| chain.intern(&mut ids, text)).collect();
            chain.length += line.len();
            chain.learn(&line);
        }
        chain
    }

    fn intern<'a>(&mut self, ids: &mut HashMap<&'a str, WordId>, text: &'a str) -> WordId {
        let id = *ids.entry(text).or_insert_with(|| {
            let id =
                WordId::try_from(self.words.len()).expect("a corpus in memory has fewer words than 2^32");
            self.words.push(Word { text: text.into(), ends_sentence: ends_sentence(text), occurrences: 0 });
            self.by_bare.entry(bare(text)).or_default().push(id);
            id
        });
        if let Some(word) = self.words.get_mut(id as usize) {
            word.occurrences += 1;
        }
        id
    }

    fn learn(&mut self, line: &[WordId]) {
        for (back, table) in (1..).zip(&mut self.followers) {
            for window in line.windows(back + 1) {
                let Some((&word, context)) = window.split_last() else { continue };
                let followers = table.entry(context.into()).or_default();
                match followers.iter_mut().find(|follower| follower.word == word) {
                    Some(follower) => follower.count += 1,
                    None => followers.push(Follower { word, count: 1 }),
                }
            }
        }
        let words = &self.words;
        let ends = |id: &WordId| words.get(*id as usize).is_some_and(|word| word.ends_sentence);
        for sentence in line.split_inclusive(ends).filter(|sentence| sentence.len() > 1) {
            let opening = sentence.iter().take(self.order).copied().collect();
            self.sentences.push(Sentence { opening, words: sentence.into() });
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    pub(super) const fn order(&self) -> usize {
        self.order
    }

    /// The word as it is written.
    pub(super) fn text(&self, word: WordId) -> &str {
        self.words.get(word as usize).map_or("", |word| &word.text)
    }

    /// Whether a sentence ends with this word.
    pub(super) fn ends_sentence(&self, word: WordId) -> bool {
        self.words.get(word as usize).is_some_and(|word| word.ends_sentence)
    }

    /// What follows these words, at most as many as the order; in the order of the corpus, and empty if nothing does.
    pub(super) fn followers(&self, context: &[WordId]) -> &[Follower] {
        let table = context.len().checked_sub(1).and_then(|back| self.followers.get(back));
        table.and_then(|table| table.get(context)).map_or(&[], Vec::as_slice)
    }

    /// How many sentences the corpus has.
    pub(super) const fn sentences(&self) -> usize {
        self.sentences.len()
    }

    /// The first words of a sentence.
    pub(super) fn opening(&self, sentence: usize) -> &[WordId] {
        self.sentences.get(sentence).map_or(&[], |sentence| &sentence.opening)
    }

    /// The words of the corpus with the bare form `bare`, each with its weight: the rarer, the heavier,
    /// but what occurs once is as heavy as what occurs four times.
    pub(super) fn spellings(&self, bare: &str) -> impl Iterator<Item = (WordId, u32)> {
        let ids = self.by_bare.get(bare).map_or(&[][..], Vec::as_slice);
        let occurrences =
            ids.iter().filter_map(|id| self.words.get(*id as usize)).map(|word| word.occurrences);
        let total = occurrences.sum::<u32>().max(1);
        // A word that makes up more than a fiftieth of the corpus, such as "the", says nothing of what it is about.
        let common = total as usize > (self.length / 50).max(3);
        ids.iter().filter(move |_| !common).map(move |id| (*id, RAREST / total.max(4)))
    }

    /// The sum of the weights of the words of a sentence, each counted once.
    pub(super) fn score(&self, sentence: usize, weights: &HashMap<WordId, u32>) -> u32 {
        let words = self.sentences.get(sentence).map_or(&[][..], |sentence| &sentence.words);
        let first = |at: usize, word: WordId| words.iter().take(at).all(|other| *other != word);
        words
            .iter()
            .enumerate()
            .filter(|(at, word)| first(*at, **word))
            .filter_map(|(_, word)| weights.get(word))
            .sum()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("order", &self.order)
            .field("words", &self.length)
            .field("sentences", &self.sentences.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

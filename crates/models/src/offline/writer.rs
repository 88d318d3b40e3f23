//! Writes words, one after another.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use rand_pcg::{
    Pcg64,
    rand_core::{Rng as _, SeedableRng as _},
};

use crate::{
    ChatMessage,
    offline::{
        chain::{Chain, Follower, WordId},
        corpus::bare,
    },
};

/// Where the words of the prompt are among those that may follow, they are as likely as if they were written so much
/// more often.
const PREFERENCE: u32 = 4;
/// How many of the sentences that fit the prompt best an answer may begin with.
const OPENINGS: usize = 6;
/// One in so many times a word that has one follower only is looked at with less context, so that the text is not the
/// corpus again.
const DEPARTURE: u64 = 4;

/// The words that bind, ask or point, as they are [compared](bare): a prompt is never about them. Sorted.
const BINDING_WORDS: [&str; 64] = [
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "but", "by", "can", "could",
    "describe", "do", "doe", "explain", "for", "from", "give", "has", "have", "how", "i", "if", "in", "into",
    "is", "it", "its", "me", "my", "no", "not", "of", "on", "one", "or", "our", "please", "say", "should",
    "so", "tell", "that", "the", "their", "them", "then", "there", "they", "thi", "to", "u", "was", "we",
    "what", "when", "where", "which", "who", "with", "you",
];

/// What a prompt means to a chain: a seed, and words to prefer.
pub(super) struct Prompt {
    seed: u64,
    words: BTreeSet<String>,
    length: u64,
}

impl Prompt {
    pub(super) fn new(seed: u64, messages: &[ChatMessage]) -> Self {
        let mut hash = Fnv::new();
        hash.write(&seed.to_le_bytes());
        let mut words = BTreeSet::new();
        let mut length = 0;
        for message in messages {
            // No UTF-8 text contains 0xFF, so that two messages never hash as one.
            for part in [message.role(), message.content()] {
                hash.write(part.as_bytes());
                hash.write(&[0xFF]);
            }
            for word in message.content().split_whitespace() {
                length += 1;
                words.insert(bare(word));
            }
        }
        words.retain(|word| !word.is_empty() && BINDING_WORDS.binary_search(&word.as_str()).is_err());
        Self { seed: hash.0, words, length }
    }

    /// How many words it has.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }
}

/// Writes words without end.
pub(super) struct Writer {
    chain: Arc<Chain>,
    random: Pcg64,
    /// 0: the likeliest word each time.
    temperature: f64,
    /// The words of the prompt that the chain knows, and their weights.
    preferred: HashMap<WordId, u32>,
    /// The sentences to begin with, best first, with their scores; used up from the front.
    openings: Vec<(usize, u32)>,
    /// The words to say before the chain goes on.
    ahead: VecDeque<WordId>,
    /// The last words, at most as many as the chain's order.
    context: Vec<WordId>,
    /// At temperature 0, the steps that were taken: the likeliest is never taken twice, or the text would run in circles.
    taken: HashSet<Vec<WordId>>,
}

impl Writer {
    pub(super) fn new(chain: Arc<Chain>, prompt: &Prompt, temperature: f64) -> Self {
        let preferred: HashMap<_, _> = prompt.words.iter().flat_map(|word| chain.spellings(word)).collect();
        Self {
            random: Pcg64::seed_from_u64(prompt.seed),
            temperature,
            preferred,
            openings: Vec::new(),
            ahead: VecDeque::new(),
            context: Vec::new(),
            taken: HashSet::new(),
            chain,
        }
    }

    /// The next word.
    pub(super) fn next(&mut self) -> WordId {
        let word = match self.ahead.pop_front() {
            Some(word) => word,
            None => self.follow().unwrap_or_else(|| self.open()),
        };
        if self.context.len() == self.chain.order() {
            self.context.remove(0);
        }
        self.context.push(word);
        word
    }

    /// The word as it is written.
    pub(super) fn text(&self, word: WordId) -> &str {
        self.chain.text(word)
    }

    /// Whether a sentence ends with this word.
    pub(super) fn ends_sentence(&self, word: WordId) -> bool {
        self.chain.ends_sentence(word)
    }

    /// A word that follows the last ones: as many of them as the corpus has a continuation for.
    fn follow(&mut self) -> Option<WordId> {
        let chain = Arc::clone(&self.chain);
        for skipped in 0..self.context.len() {
            let context = self.context.get(skipped..)?;
            let followers = chain.followers(context);
            let chosen = if self.temperature == 0.0 {
                let step = |follower: &Follower| [context, &[follower.word]].concat();
                let fresh = followers.iter().filter(|follower| !self.taken.contains(&step(follower)));
                let best = likeliest(fresh, |follower| self.weight(follower));
                best.map(|follower| (follower.word, step(follower)))
            } else {
                let departs = followers.len() == 1
                    && context.len() > 1
                    && self.random.next_u64().is_multiple_of(DEPARTURE);
                let word = if departs { None } else { self.sample(followers) };
                word.map(|word| (word, Vec::new()))
            };
            if let Some((word, step)) = chosen {
                if !step.is_empty() {
                    self.taken.insert(step);
                }
                return Some(word);
            }
        }
        None
    }

    /// Begins a sentence anew: with one that shares words with the prompt, as long as there are such.
    fn open(&mut self) -> WordId {
        self.context.clear();
        if self.openings.is_empty() {
            self.openings = self.rank_openings();
        }
        let first = if self.temperature == 0.0 {
            0
        } else {
            let best = self.openings.iter().take(OPENINGS).map(|(_, score)| f64::from(*score)).collect();
            self.pick(best)
        };
        let (sentence, _) = self.openings.remove(first);
        self.ahead.extend(self.chain.opening(sentence));
        self.ahead.pop_front().expect("every sentence of a chain has words")
    }

    /// Every sentence, the best first. Equals stand in an order of chance; at temperature 0 in that of the corpus, unless
    /// the prompt gives nothing to go by.
    fn rank_openings(&mut self) -> Vec<(usize, u32)> {
        let scores = (0..self.chain.sentences()).map(|sentence| self.chain.score(sentence, &self.preferred));
        let mut openings: Vec<_> = scores.enumerate().collect();
        if self.temperature > 0.0 || openings.iter().all(|(_, score)| *score == 0) {
            let lots = openings.into_iter().map(|opening| (self.random.next_u64(), opening));
            let mut lots: Vec<_> = lots.collect();
            lots.sort_unstable();
            openings = lots.into_iter().map(|(_, opening)| opening).collect();
        }
        openings.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
        openings
    }

    fn weight(&self, follower: &Follower) -> u32 {
        let preference = if self.preferred.contains_key(&follower.word) { PREFERENCE } else { 1 };
        follower.count.saturating_mul(preference)
    }

    /// One of the followers, by chance and weight.
    fn sample(&mut self, followers: &[Follower]) -> Option<WordId> {
        let most = f64::from(followers.iter().map(|follower| self.weight(follower)).max()?);
        let tempered = |follower| (f64::from(self.weight(follower)) / most).powf(1.0 / self.temperature);
        let weights = followers.iter().map(tempered).collect();
        let chosen = self.pick(weights);
        followers.get(chosen).map(|follower| follower.word)
    }

    /// An index into `weights`, by chance; all are alike if all are zero.
    fn pick(&mut self, mut weights: Vec<f64>) -> usize {
        let mut total: f64 = weights.iter().sum();
        if total <= 0.0 {
            weights.fill(1.0);
            total = weights.len() as f64;
        }
        // The upper 53 bits make a number in [0, 1) that a double holds exactly.
        let mut at = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        for (index, weight) in weights.iter().enumerate() {
            if at < *weight {
                return index;
            }
            at -= weight;
        }
        weights.len().saturating_sub(1)
    }
}

/// The heaviest; of equals the first.
fn likeliest<'a>(
    followers: impl Iterator<Item = &'a Follower>,
    weight: impl Fn(&Follower) -> u32,
) -> Option<&'a Follower> {
    followers.reduce(|best, other| if weight(other) > weight(best) { other } else { best })
}

/// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): small, and the same in every release, which the
/// standard library does not promise of its own hasher.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests;

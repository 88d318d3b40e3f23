use super::*;
use crate::offline::corpus::paragraphs;

fn chain(order: usize, text: &str) -> Chain {
    Chain::new(order, &paragraphs(text))
}

/// What follows `words`, as `word×count`.
fn followers(chain: &Chain, words: &str) -> Vec<String> {
    let id = |text: &str| (0..).find(|id| chain.text(*id) == text).expect("the word is in the corpus");
    let context: Vec<WordId> = words.split_whitespace().map(id).collect();
    let shown = |follower: &Follower| format!("{}×{}", chain.text(follower.word), follower.count);
    chain.followers(&context).iter().map(shown).collect()
}

#[test]
fn followers_are_counted_for_every_length_of_context_up_to_the_order() {
    let chain = chain(2, "a log is a list. a log grows and a list is a list.");
    assert_eq!(followers(&chain, "a"), ["log×2", "list.×2", "list×1"]);
    assert_eq!(followers(&chain, "a log"), ["is×1", "grows×1"]);
    assert_eq!(followers(&chain, "is a"), ["list.×2"]);
    assert!(followers(&chain, "log is a").is_empty(), "longer than the order");
    assert!(chain.followers(&[]).is_empty());
}

#[test]
fn sentences_follow_each_other_within_a_paragraph_only() {
    let chain = chain(1, "One ends. Two begins.\n\nThree begins.");
    assert_eq!(followers(&chain, "ends."), ["Two×1"]);
    assert!(followers(&chain, "begins.").is_empty());
    let openings: Vec<_> = (0..chain.sentences()).map(|at| chain.text(chain.opening(at)[0])).collect();
    assert_eq!(openings, ["One", "Two", "Three"]);
}

#[test]
fn rare_words_of_the_prompt_weigh_more_and_common_ones_nothing() {
    let text = "the cursor reads the log. ".repeat(5) + "the log and the tail. " + &"and so on. ".repeat(100);
    let chain = chain(1, &text);
    let weights = |bare: &str| -> HashMap<_, _> { chain.spellings(bare).collect() };
    assert!(weights("the").is_empty());
    assert!(weights("unheard").is_empty());
    assert_eq!(weights("log").len(), 2, "`log.` and `log`");
    let (cursor, tail) = (weights("cursor"), weights("tail"));
    assert!(chain.score(0, &cursor) > 0);
    assert_eq!(chain.score(5, &cursor), 0);
    assert!(chain.score(5, &tail) > chain.score(0, &cursor));
}

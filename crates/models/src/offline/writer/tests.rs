use super::*;
use crate::offline::corpus::{built_in, paragraphs};

fn writer(text: &str, order: usize, prompt: &str, temperature: f64) -> Writer {
    let prompt = Prompt::new(0, &[ChatMessage::user(prompt)]);
    Writer::new(Arc::new(Chain::new(order, &paragraphs(text))), &prompt, temperature)
}

fn write(writer: &mut Writer, words: usize) -> String {
    let text: Vec<String> = (0..words)
        .map(|_| {
            let word = writer.next();
            writer.text(word).to_owned()
        })
        .collect();
    text.join(" ")
}

#[test]
fn an_answer_begins_with_a_sentence_that_shares_words_with_the_prompt() {
    let text = "Red apples fall. Green pears hang.\n\nBlue plums rot. White grapes dry.";
    for (prompt, expected) in [("what of plums?", "Blue plums rot."), ("A PEAR", "Green pears hang.")] {
        for temperature in [0.0, 1.0] {
            let mut begun = 0;
            for seed in 0..50 {
                let prompt = Prompt::new(seed, &[ChatMessage::user(prompt)]);
                let chain = Arc::new(Chain::new(3, &paragraphs(text)));
                begun += usize::from(write(&mut Writer::new(chain, &prompt, temperature), 3) == expected);
            }
            assert_eq!(begun, 50, "{prompt} at {temperature}");
        }
    }
}

#[test]
fn where_the_longer_context_has_no_follower_a_shorter_one_is_asked() {
    let mut writer = writer("a b c.", 2, "", 0.0);
    let (b, c) = (1, 2);
    writer.context = vec![c, b];
    assert_eq!(writer.chain.followers(&[c, b]), [], "the corpus has no such pair");
    let next = writer.next();
    assert_eq!(writer.text(next), "c.");
}

#[test]
fn at_temperature_zero_the_likeliest_word_follows_and_no_step_is_taken_twice() {
    let text = "go left now. go right now. go right soon. go right now.";
    let mut greedy = writer(text, 1, "", 0.0);
    greedy.context = vec![0];
    let (first, rest) = (greedy.next(), write(&mut greedy, 3));
    assert_eq!(format!("{} {rest}", greedy.text(first)), "right now. go left");
}

#[test]
fn a_greedy_writer_does_not_run_in_circles() {
    let chain = Arc::new(Chain::new(2, &built_in()));
    let prompt = Prompt::new(0, &[ChatMessage::user("a log")]);
    let text = write(&mut Writer::new(chain, &prompt, 0.0), 400);
    let words: Vec<&str> = text.split(' ').collect();
    let runs: HashSet<&[&str]> = words.windows(12).collect();
    assert_eq!(runs.len(), words.len() - 11, "twelve words in a row are repeated");
}

#[test]
fn the_lower_the_temperature_the_more_often_the_likelier_word_follows() {
    let text = "go left. ".repeat(3) + &"go right. ".repeat(7);
    let rights = |temperature| {
        let mut writer = writer(&text, 1, "", temperature);
        (0..1000)
            .filter(|_| {
                writer.context = vec![0];
                let next = writer.next();
                writer.text(next) == "right."
            })
            .count()
    };
    let counts = [rights(0.25), rights(1.0), rights(2.0)];
    // 7 of 10 at temperature 1; the weights are 1 : (7/3)^4 at 0.25, and 1 : (7/3)^0.5 at 2.
    for (count, expected) in counts.into_iter().zip([967, 700, 604]) {
        assert!((expected - 50..=expected + 50).contains(&count), "{counts:?}");
    }
}

#[test]
fn words_of_the_prompt_are_preferred_among_those_that_may_follow() {
    let text = "we go to apples. we go to pears. we go to plums. we go to grapes.";
    let share = |prompt: &str| {
        let mut writer = writer(text, 1, prompt, 1.0);
        let to = (0..).find(|id| writer.text(*id) == "to").unwrap();
        (0..1000)
            .filter(|_| {
                writer.context = vec![to];
                let next = writer.next();
                writer.text(next) == "plums."
            })
            .count()
    };
    let (asked, unasked) = (share("plums, please"), share("anything"));
    // 4 of 7 against 1 of 4.
    assert!((520..620).contains(&asked) && (200..300).contains(&unasked), "{asked} against {unasked}");
}

#[test]
fn the_lots_that_are_drawn_are_the_same_in_every_release() {
    let prompt = Prompt::new(7, &[ChatMessage::system("a"), ChatMessage::user("b")]);
    assert_eq!(prompt.seed, fnv_by_hand(b"\x07\0\0\0\0\0\0\0system\xffa\xffuser\xffb\xff"));
    // The published check value of FNV-1a 64 for "foobar".
    assert_eq!(fnv_by_hand(b"foobar"), 0x85944171f73967e8);
    // The first value of the generator's own reference output (<https://www.pcg-random.org>, `check-pcg64.out`).
    assert_eq!(Pcg64::new(42, 54).next_u64(), 0x86b1_da1d_7206_2b68);
    // What `rand_pcg` 0.10.2 makes of a small seed.
    assert_eq!(Pcg64::seed_from_u64(0).next_u64(), 2_354_861_276_966_075_475);
}

fn fnv_by_hand(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::new();
    hash.write(bytes);
    hash.0
}

#[test]
fn binding_words_are_sorted_and_in_the_form_in_which_they_are_compared() {
    assert!(BINDING_WORDS.is_sorted());
    for word in ["This", "does", "has", "its", "What?"] {
        assert!(BINDING_WORDS.contains(&bare(word).as_str()), "{word}");
    }
    assert!(BINDING_WORDS.iter().all(|word| bare(word) == *word));
}

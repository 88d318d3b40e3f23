use super::*;

fn check(markdown: &str, expected: &[&str]) {
    let found: Vec<String> = paragraphs(markdown).iter().map(|words| words.join(" ")).collect();
    assert_eq!(found, expected);
}

#[test]
fn prose_is_kept_and_markup_is_not() {
    check(
        "# A heading.\n\nA *log* is\na [list](https://example.org/a.b) of `entries`.\nIt grows.\n\nIt ends.",
        &["A log is a list of entries. It grows.", "It ends."],
    );
}

#[test]
fn code_tables_and_lines_that_are_no_sentence_are_left_out() {
    check(
        "Before it.\n```rust\nlet not = \"prose.\";\n\nnor this.\n```\nAfter it.\n\n    indented code.\n\n| a | table. |\n<p>Raw markup.</p>\n\nIt is like this:\n\n- one thing\n- A second thing.\n2. And a third.\n> As they say.",
        &["Before it.", "After it.", "A second thing.", "And a third. As they say."],
    );
}

#[test]
fn words_are_compared_without_case_punctuation_and_plural() {
    for (word, expected) in [
        ("Logs,", "log"),
        ("(log)", "log"),
        ("is", "is"),
        ("was", "was"),
        ("ÜBER", "über"),
        ("one-way", "one-way"),
        ("—", ""),
    ] {
        assert_eq!(bare(word), expected);
    }
}

#[test]
fn sentences_end_with_their_punctuation_also_inside_quotes() {
    assert!(["end.", "end?", "end!\"", "(end.)"].iter().all(|word| ends_sentence(word)));
    assert!(["end", "end,", "e.g.x", "\""].iter().all(|word| !ends_sentence(word)));
}

#[test]
fn the_built_in_corpus_is_several_pages_of_prose_with_sentences_of_all_lengths() {
    let paragraphs = built_in();
    let words: usize = paragraphs.iter().map(Vec::len).sum();
    assert!(words > 1500, "{words} words");
    let lengths: Vec<usize> = paragraphs
        .iter()
        .flat_map(|words| words.split_inclusive(|word| ends_sentence(word)))
        .map(<[String]>::len)
        .collect();
    let short = lengths.iter().filter(|length| **length <= 6).count();
    let long = lengths.iter().filter(|length| **length >= 20).count();
    assert!(short > 15 && long > 30, "{short} short and {long} long sentences of {}", lengths.len());
}

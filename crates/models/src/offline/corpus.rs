//! The prose that a chain learns from.

/// The project's own prose: its documentation, and what its authors wrote for this model to learn from.
const BUILT_IN: [&str; 4] = [
    include_str!("../../../../docs/architecture.md"),
    include_str!("../../corpus/streams.md"),
    include_str!("../../corpus/logs-and-cursors.md"),
    include_str!("../../corpus/workflows.md"),
];

/// The paragraphs of the built-in corpus.
pub(super) fn built_in() -> Vec<Vec<String>> {
    BUILT_IN.iter().flat_map(|text| paragraphs(text)).collect()
}

/// The paragraphs of a Markdown text that are prose, each as its words.
///
/// Headings, code, tables and markup are left out, and so is what does not end as a sentence does.
pub(super) fn paragraphs(markdown: &str) -> Vec<Vec<String>> {
    let mut paragraphs = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut close = |words: &mut Vec<String>| {
        let paragraph = std::mem::take(words);
        if paragraph.len() > 1 && paragraph.last().is_some_and(|word| ends_sentence(word)) {
            paragraphs.push(paragraph);
        }
    };
    let mut in_code = false;
    for line in markdown.lines() {
        let text = line.trim();
        let fence = text.starts_with("```") || text.starts_with("~~~");
        in_code ^= fence;
        let indented = words.is_empty() && line.starts_with("    ");
        if fence || in_code || indented || text.is_empty() || text.starts_with(['#', '|', '<']) {
            close(&mut words);
            continue;
        }
        let item = list_item(text);
        if item.is_some() {
            close(&mut words);
        }
        let text = item.unwrap_or(text).trim_start_matches("> ");
        words.extend(without_markup(text).split_whitespace().map(str::to_owned));
    }
    close(&mut words);
    paragraphs
}

/// The text of a list item, if the line begins one.
fn list_item(line: &str) -> Option<&str> {
    let unnumbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if unnumbered.len() < line.len() {
        return unnumbered.strip_prefix(". ");
    }
    ["- ", "* ", "+ "].iter().find_map(|marker| line.strip_prefix(marker))
}

/// The text without emphasis and code marks, of links only what is shown.
fn without_markup(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '`' | '*' | '[' => {}
            ']' if chars.peek() == Some(&'(') => {
                chars.by_ref().find(|c| *c == ')');
            }
            ']' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Whether a word is the last one of its sentence.
pub(super) fn ends_sentence(word: &str) -> bool {
    word.trim_end_matches(['"', '\'', ')', '”', '’']).ends_with(['.', '!', '?'])
}

/// A word as it is compared: in lower case, without punctuation around it and without an `s` at its end, so that `logs`
/// finds `Log,`. Empty if it is nothing but punctuation.
pub(super) fn bare(word: &str) -> String {
    let mut bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    if bare.len() > 3 && bare.ends_with('s') {
        bare.pop();
    }
    bare
}

#[cfg(test)]
mod tests;

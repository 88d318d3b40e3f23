use std::collections::BTreeMap;

use streamnest::{prelude::*, runtime::State as _};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    plain: String,
    #[state(reducer = replace)]
    named: u32,
    #[state(reducer = append)]
    words: Vec<String>,
    #[state(reducer = append)]
    text: String,
    #[state(reducer = merge)]
    seen: BTreeMap<String, u32>,
    #[state(reducer = u32_max)]
    most: u32,
    #[state(reducer = own::longest::<String>)]
    longest: String,
}

fn u32_max(current: &mut u32, update: u32) {
    *current = update.max(*current);
}

mod own {
    pub(crate) fn longest<T: AsRef<str>>(current: &mut T, update: T) {
        if update.as_ref().len() > current.as_ref().len() {
            *current = update;
        }
    }
}

fn main() {
    let input = serde_json::json!({
        "plain": "a", "named": 1, "words": ["a"], "text": "a", "seen": {"a": 1}, "most": 5, "longest": "abc"
    });
    let mut draft = Draft::from_input(input).unwrap();
    let update = || {
        DraftUpdate::new()
            .plain("b")
            .named(2_u32)
            .words(["b".to_owned()])
            .text("b")
            .seen([("b".to_owned(), 2)])
            .most(3_u32)
            .longest("ab")
    };
    draft.apply(update());
    draft.apply(DraftUpdate::new());
    draft.apply(DraftUpdate::default().most(9_u32));
    assert_eq!(
        serde_json::to_value(&draft).unwrap(),
        serde_json::json!({
            "plain": "b", "named": 2, "words": ["a", "b"], "text": "ab", "seen": {"a": 1, "b": 2}, "most": 9,
            "longest": "abc"
        })
    );
}

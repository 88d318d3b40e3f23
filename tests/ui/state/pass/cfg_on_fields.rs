use streamnest::{prelude::*, runtime::State as _};

#[derive(State, Clone, serde::Serialize)]
#[cfg_attr(all(), derive(Debug))]
struct Draft {
    text: String,
    #[cfg(any())]
    not_there: TypeThatIsNotThere,
    #[cfg_attr(all(), state(default))]
    tries: u32,
}

fn main() {
    let draft = Draft::from_input(serde_json::json!({"text": "x"})).unwrap();
    assert_eq!(format!("{draft:?}"), r#"Draft { text: "x", tries: 0 }"#);
}

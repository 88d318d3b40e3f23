use streamnest::{prelude::*, runtime::State as _};

/// What a reply is made of.
#[derive(State, Clone, Debug, serde::Serialize)]
struct Draft {
    /// What to answer.
    prompt: String,
    #[state(default)]
    content: Option<String>,
    #[state(default = 3)]
    tries: u32,
    #[state(default = vec![String::from("polite")], reducer = append)]
    tones: Vec<String>,
    r#type: Option<u8>,
}

fn main() {
    let draft = Draft::from_input(serde_json::json!({"prompt": "hi", "type": 1})).unwrap();
    assert_eq!((draft.content, draft.tries, draft.tones, draft.r#type), (None, 3, vec!["polite".to_owned()], Some(1)));

    let draft = Draft::from_input(serde_json::json!({"prompt": "hi", "type": null, "tries": 7, "content": "x"})).unwrap();
    assert_eq!((draft.tries, draft.content.as_deref(), draft.r#type), (7, Some("x"), None));

    let wrong = |input| Draft::from_input(input).unwrap_err().to_string();
    assert!(wrong(serde_json::json!({})).contains("`prompt`"));
    assert!(wrong(serde_json::json!({"prompt": 1, "type": null})).contains("`prompt`"));
    let unknown = wrong(serde_json::json!({"prompt": "hi", "type": 1, "promt": "hi"}));
    assert!(unknown.contains("`promt`") && unknown.contains("prompt, content, tries, tones, type"), "{unknown}");

    let schema = Draft::input_schema();
    assert_eq!(schema["title"], "Draft");
    assert_eq!(schema["properties"]["prompt"]["description"], "What to answer.");
    assert_eq!(schema["required"], serde_json::json!(["prompt", "type"]));
}

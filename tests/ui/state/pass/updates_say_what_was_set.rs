use streamnest::prelude::*;

mod shared {
    use streamnest::prelude::*;

    #[derive(State, Clone, serde::Serialize)]
    pub(crate) struct Draft {
        pub(crate) text: String,
        #[state(default)]
        pub(crate) score: Option<f64>,
    }
}

use shared::{Draft, DraftUpdate};

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text(state.text.clone()).score(state.score))
    }
}

fn main() {
    let json = |update: &DraftUpdate| serde_json::to_string(update).unwrap();
    assert_eq!(json(&DraftUpdate::new()), "{}");
    assert_eq!(json(&DraftUpdate::new().score(0.5)), r#"{"score":0.5}"#);
    assert_eq!(json(&DraftUpdate::new().score(None).text("x")), r#"{"text":"x","score":null}"#);
    assert_eq!(format!("{:?}", DraftUpdate::new().text("x")), r#"DraftUpdate{"text":"x"}"#);
    let _ = DraftReply;
}

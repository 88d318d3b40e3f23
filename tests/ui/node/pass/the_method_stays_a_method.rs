use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(enabled)]
    async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text(format!("{}!", state.text)))
    }
}

fn main() {
    // It can be called and tested without any workflow around it.
    let draft = Draft { text: "hello".into() };
    let update = futures_util::FutureExt::now_or_never(DraftReply.draft(&draft)).unwrap().unwrap();
    assert_eq!(serde_json::to_value(&update).unwrap(), serde_json::json!({"text": "hello!"}));
    assert!(format!("{:?}", DraftReply::definition()).contains("enabled: true"));
}

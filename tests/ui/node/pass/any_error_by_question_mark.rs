use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

#[derive(Debug)]
struct Mine;

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("mine")
    }
}

impl std::error::Error for Mine {}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        let number: i64 = state.text.parse()?;
        let text = if number > 0 { Err(Mine) } else { Ok(number.to_string()) };
        Ok(DraftUpdate::new().text(text?))
    }
}

fn main() {
    assert!(format!("{:?}", DraftReply::definition()).contains("draft"));
}

use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

trait Shout<T> {
    fn shout(text: &str, token: &TokenMetadata) -> String;
}

struct Upper;

impl Shout<u8> for Upper {
    fn shout(text: &str, _: &TokenMetadata) -> String {
        text.to_uppercase()
    }
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(processor = <Upper as Shout<u8>>::shout)]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "processor: Some(",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}

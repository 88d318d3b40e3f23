use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

fn shout(text: &str, _: &TokenMetadata) -> String {
    text.to_uppercase()
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_token(
        enabled = true,
        buffer_size = 50,
        batch_size = 5,
        flush_interval = "100ms",
        format = "structured",
        include_metadata,
        processor = shout,
        filter(min_length = 1, max_length = 20, pattern = r"^\w+$", exclude_whitespace)
    )]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "enabled: true",
        "buffer_size: Some(50)",
        "batch_size: 5",
        "flush_interval: 100ms",
        "format: Structured",
        "include_metadata: true",
        "processor: Some(",
        "min_length: Some(1)",
        "max_length: Some(20)",
        r#"pattern: Some("^\\w+$")"#,
        "exclude_whitespace: true",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}

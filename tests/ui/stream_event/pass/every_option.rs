use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

fn enrich(event: Event) -> Event {
    event
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_event(
        events(Values, Updates, Events, Token, Progress, "invoice_sent"),
        enabled,
        buffer_size = 20,
        batch_size = 4,
        transformer = enrich,
        filter(
            event_types(ToolStart, "invoice_sent"),
            exclude_types(NodeStart),
            min_priority = "medium",
            include_debug = true
        ),
        delivery = "exactly-once"
    )]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "events: [\"values\", \"updates\", \"events\", \"token\", \"progress\", \"invoice_sent\"]",
        "buffer_size: 20",
        "batch_size: 4",
        "transformer: Some(",
        "event_types: [\"tool_start\", \"invoice_sent\"]",
        "exclude_types: [\"node_start\"]",
        "Medium",
        "include_debug: true",
        "delivery: ExactlyOnce",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}

use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

fn weigh(current: f64, total: f64, _: &ProgressMetadata) -> f64 {
    current / total * 50.0
}

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[stream_progress(
        enabled,
        interval = "500ms",
        granularity = "coarse",
        include_eta,
        include_metrics = true,
        milestones(12.5, 50, 100),
        calculator = weigh,
        format(show_percentage = false, show_current, show_total, show_rate, precision = 0)
    )]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    for part in [
        "interval: 500ms",
        "granularity: Coarse",
        "include_eta: true",
        "include_metrics: true",
        "milestones: [12.5, 50.0, 100.0]",
        "calculator: Some(",
        "show_percentage: false, show_current: true, show_total: true, show_rate: true, precision: 0",
    ] {
        assert!(definition.contains(part), "{part} in {definition}");
    }
}

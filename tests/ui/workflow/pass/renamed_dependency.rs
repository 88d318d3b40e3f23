//! The facade is found where `crate = …` says, and nowhere else: the name `streamnest` means something else here.

mod deps {
    pub use ::streamnest as nest;
}

#[allow(unused)] // It only has to have that name.
mod streamnest {}

use deps::nest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
#[state(crate = crate::deps::nest)]
struct Draft {
    text: String,
}

struct DraftReply;

#[workflow(state = Draft, crate = crate::deps::nest)]
impl DraftReply {
    #[node(start)]
    #[stream_all(event(events(ToolStart), delivery = "exactly-once"))]
    #[cfg(all())]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    assert!(format!("{:?}", DraftReply::definition()).contains("ExactlyOnce"));
}

#![deny(warnings)]

use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

// Names that the glue uses for its own variables mean nothing to it.
#[allow(non_upper_case_globals, dead_code)]
mod names {
    pub const workflow: u8 = 1;
    pub const state: u8 = 2;
    pub const ctx: u8 = 3;
    pub const definition: u8 = 4;
    pub const node: u8 = 5;
    pub const input: u8 = 6;
    pub const update: u8 = 7;
    pub const value: u8 = 8;
}
#[allow(unused_imports)] // It only has to be in the way.
use names::{ctx, definition, input, state, update, value};

#[workflow(state = Draft)]
impl DraftReply {
    #[node(start)]
    #[deprecated]
    async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new())
    }
}

fn main() {
    assert!(format!("{:?}", DraftReply::definition()).contains("draft"));
}

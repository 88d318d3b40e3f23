use streamnest::prelude::*;

#[workflow(state = Draft)]
pub struct DraftReply {
    model: String,
}

fn main() {}

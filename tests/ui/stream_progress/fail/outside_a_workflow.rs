use streamnest::prelude::*;

#[stream_progress]
async fn draft() {}

fn main() {}

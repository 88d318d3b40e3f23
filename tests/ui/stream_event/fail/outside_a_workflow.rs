use streamnest::prelude::*;

#[stream_event]
async fn draft() {}

fn main() {}

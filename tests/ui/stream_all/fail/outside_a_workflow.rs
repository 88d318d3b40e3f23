use streamnest::prelude::*;

#[stream_all]
async fn draft() {}

fn main() {}

use streamnest::prelude::*;

#[stream_token(buffer_size = 3)]
async fn draft() {}

fn main() {}

use streamnest::prelude::*;

#[module(global)]
struct AppModule {
    limit: u32,
}

fn main() {}

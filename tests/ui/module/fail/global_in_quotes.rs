use streamnest::prelude::*;

#[module(global = "yes")]
struct AppModule;

fn main() {}

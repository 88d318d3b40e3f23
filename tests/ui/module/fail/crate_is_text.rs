use streamnest::prelude::*;

#[module(crate = "streamnest")]
struct AppModule;

fn main() {}

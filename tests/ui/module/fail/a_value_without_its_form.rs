use streamnest::prelude::*;

#[module(providers(7))]
struct AppModule;

fn main() {}

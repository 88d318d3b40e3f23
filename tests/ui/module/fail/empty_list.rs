use streamnest::prelude::*;

#[module(providers())]
struct AppModule;

fn main() {}

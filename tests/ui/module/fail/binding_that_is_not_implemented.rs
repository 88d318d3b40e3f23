use streamnest::prelude::*;

#[injectable]
struct Silent;

#[module(providers(Silent as dyn ChatModel))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(providers(named("fast")))]
struct AppModule;

fn main() {}

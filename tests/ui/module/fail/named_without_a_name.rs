use streamnest::prelude::*;

#[module(providers(named(OfflineModel)))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(providers(named("fast", named("quick", OfflineModel))))]
struct AppModule;

fn main() {}

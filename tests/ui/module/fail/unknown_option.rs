use streamnest::prelude::*;

#[module(provider(OfflineModel))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(providers(OfflineModel as))]
struct AppModule;

fn main() {}

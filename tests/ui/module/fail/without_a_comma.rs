use streamnest::prelude::*;

#[module(providers(OfflineModel OfflineModel))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(providers(OfflineModel, OfflineModel as dyn ChatModel))]
struct AppModule;

fn main() {}

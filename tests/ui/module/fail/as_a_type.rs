use streamnest::prelude::*;

#[module(providers(OfflineModel as ChatModel))]
struct AppModule;

fn main() {}

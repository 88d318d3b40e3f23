use streamnest::prelude::*;

#[module(exports(OfflineModel as dyn ChatModel))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(workflows(OfflineModel))]
struct AppModule;

fn main() {}

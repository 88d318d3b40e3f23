use streamnest::prelude::*;

struct NoModule;

#[module(imports(NoModule))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(imports = Other)]
struct AppModule;

fn main() {}

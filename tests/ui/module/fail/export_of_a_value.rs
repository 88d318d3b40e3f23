use streamnest::prelude::*;

#[module(exports(value(7)))]
struct AppModule;

fn main() {}

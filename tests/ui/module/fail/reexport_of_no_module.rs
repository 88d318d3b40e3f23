use streamnest::prelude::*;

fn seven() -> u32 {
    7
}

#[module(exports(module(seven)))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

#[module(providers(valeu(7)))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

struct Settings;

#[module(providers(Settings))]
struct AppModule;

fn main() {}

use streamnest::prelude::*;

struct Cache;

fn cache(_: &str) -> Cache {
    Cache
}

#[module(providers(factory(cache)))]
struct AppModule;

fn main() {}

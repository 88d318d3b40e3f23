use streamnest::prelude::*;

#[module(global)]
struct AppModule<const N: usize>;

fn main() {}

use streamnest::prelude::*;

#[module(global)]
fn app() {}

fn main() {}

use streamnest::prelude::*;

#[injectable]
fn writer() {}

fn main() {}

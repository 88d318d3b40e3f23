use streamnest::prelude::*;

#[injectable(crate)]
struct Clock;

fn main() {}

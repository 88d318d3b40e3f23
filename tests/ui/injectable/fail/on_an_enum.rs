use streamnest::prelude::*;

#[injectable]
enum Writer {}

fn main() {}

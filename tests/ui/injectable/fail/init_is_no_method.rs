use streamnest::prelude::*;

#[injectable(init = begin)]
struct Writer;

fn main() {}

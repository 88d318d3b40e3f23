use streamnest::prelude::*;

struct Writer;

#[injectable]
impl Writer {}

fn main() {}

use streamnest::prelude::*;

#[injectable(init = begin)]
struct Writer;

impl Writer {
    fn begin(&self) {}
}

fn main() {}

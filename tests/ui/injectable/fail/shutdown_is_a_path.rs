use streamnest::prelude::*;

#[injectable(shutdown = Writer::end)]
struct Writer;

impl Writer {
    async fn end(&self) {}
}

fn main() {}

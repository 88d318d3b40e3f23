use streamnest::prelude::*;

#[injectable(init = begin)]
struct Writer;

impl Writer {
    async fn begin(&self) -> u32 {
        7
    }
}

fn main() {}

use streamnest::prelude::*;

#[injectable]
struct Writer {
    model: Box<dyn ChatModel>,
}

fn main() {}

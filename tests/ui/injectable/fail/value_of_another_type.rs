use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject(value = "five")]
    patience: u64,
}

fn main() {}

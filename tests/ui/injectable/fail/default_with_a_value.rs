use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject(default = 7)]
    patience: u64,
}

fn main() {}

use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject(default)]
    at: std::time::Instant,
}

fn main() {}

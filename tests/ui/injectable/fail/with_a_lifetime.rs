use streamnest::prelude::*;

#[injectable]
struct Writer<'a>(&'a str);

fn main() {}

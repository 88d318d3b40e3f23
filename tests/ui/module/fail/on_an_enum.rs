use streamnest::prelude::*;

#[module(global)]
enum AppModule {}

fn main() {}

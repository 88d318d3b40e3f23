use std::sync::Arc;

use streamnest::prelude::*;

#[injectable]
struct Writer {
    model: Arc<OfflineModel>,
    patience: u64,
}

fn main() {}

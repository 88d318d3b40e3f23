use std::sync::Arc;

use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject]
    model: Arc<OfflineModel>,
}

fn main() {}

use std::sync::Arc;

use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject(nmae = "fast")]
    model: Arc<OfflineModel>,
}

fn main() {}

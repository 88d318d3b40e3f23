use std::sync::Arc;

use streamnest::prelude::*;

#[injectable]
struct Writer {
    #[inject(name = "fast", default)]
    model: Arc<OfflineModel>,
}

fn main() {}

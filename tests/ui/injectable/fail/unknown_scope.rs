use std::sync::Arc;

use streamnest::prelude::*;

#[injectable(scope = "request")]
struct Writer(Arc<OfflineModel>);

fn main() {}

use std::sync::Arc;

use streamnest::prelude::*;

#[injectable(lifetime = "execution")]
struct Writer(Arc<OfflineModel>);

fn main() {}

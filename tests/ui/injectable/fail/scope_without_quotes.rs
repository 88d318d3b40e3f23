use std::sync::Arc;

use streamnest::prelude::*;

#[injectable(scope = execution)]
struct Writer(Arc<OfflineModel>);

fn main() {}

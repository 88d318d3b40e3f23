use streamnest::prelude::*;

#[module]
struct Empty;

/// Documented, public, and with other attributes.
#[module(imports(Empty))]
#[derive(Clone, Debug)]
pub struct AppModule;

fn main() {
    assert_eq!(AppModule::module().name(), "AppModule");
}

use streamnest::prelude::*;

fn main() {
    #[injectable]
    struct Local;
    #[module(providers(Local), exports(Local))]
    struct Inner;
    assert!(format!("{:?}", Inner::module()).contains("Local"));
}

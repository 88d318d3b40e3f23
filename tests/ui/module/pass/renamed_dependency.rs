mod deps {
    pub use ::streamnest as nest;
}

use deps::nest::prelude::{Injectable, ModuleDefinition, injectable, module};

#[injectable(crate = deps::nest)]
struct Plain;

#[module(crate = deps::nest, providers(Plain))]
struct AppModule;

fn main() {
    let _ = (AppModule::module(), Plain::provider());
}

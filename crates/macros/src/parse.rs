//! From tokens to the [model](crate::model): one attribute a file.

pub(crate) mod args;
pub(crate) mod attribute;
pub(crate) mod cfg;
mod event;
pub(crate) mod injectable;
pub(crate) mod item;
pub(crate) mod module;
pub(crate) mod node;
mod progress;
pub(crate) mod signature;
pub(crate) mod state;
pub(crate) mod stream;
mod token;
mod value;
mod ways;
pub(crate) mod workflow;

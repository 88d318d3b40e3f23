//! From the [model](crate::model) to tokens. Nothing is decided here: what stands in the model is spelt out as a person
//! would write it by hand against the runtime's public interface.

mod injectable;
mod module;
mod node;
mod options;
mod state;
mod workflow;

pub(crate) use injectable::injectable;
pub(crate) use module::module;
pub(crate) use state::state;
pub(crate) use workflow::workflow;

//! Behaviour across crates: an application of this process, clients over real sockets.

mod delivery;
mod endings;
mod options;
mod origins;
mod stalled;
mod storm;

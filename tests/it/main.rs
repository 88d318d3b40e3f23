//! Behaviour across crates: an application of this process, clients over real sockets.

mod delivery;
mod endings;
mod origins;
mod stalled;
mod storm;

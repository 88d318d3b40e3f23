//! Modules as whoever writes them sees them: what is wrong and how it is told, who gets what, and in which order.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod lifecycle;
mod scopes;
mod sharing;
mod wrong_graphs;

/// Builds and tells what is wrong.
async fn wrong<Kind>(root: impl streamnest_modules::IntoModule<Kind>) -> String {
    match streamnest_modules::Container::builder(root).build().await {
        Ok(container) => panic!("{container:?} was built"),
        Err(error) => error.to_string(),
    }
}

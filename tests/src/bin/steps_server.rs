//! The server of tests that kill it: a program like any other, with the standard flags.

use streamnest::Streamnest;
use streamnest_tests::workflows::Steps;

/// The one of our examples. What the system's keeps of memory that was given back would hide how much is in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::builder().workflow(Steps::default()).build().await?.listen().await
}

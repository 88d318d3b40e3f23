//! Serves the token fountain.

use streamnest::Streamnest;
use token_fountain::TokenFountain;

/// A log grows by small pieces that live long and are freed together, which this allocator does for less than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::builder().workflow(TokenFountain).build().await?.listen().await
}

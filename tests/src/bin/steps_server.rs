//! The server of tests that kill it: a program like any other, with the standard flags.

use streamnest::Streamnest;
use streamnest_tests::workflows::Steps;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::builder().workflow(Steps::default()).build().await?.listen().await
}

//! Serves the token fountain.

use streamnest::Streamnest;
use token_fountain::TokenFountain;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::builder().workflow(TokenFountain).build().await?.listen().await
}

//! Serves the research.

use parallel_research::ResearchModule;
use streamnest::Streamnest;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::create::<ResearchModule>().await?.listen().await
}

//! Serves the newsletter.

use streamnest::Streamnest;
use subgraph::NewsletterModule;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    Streamnest::create::<NewsletterModule>().await?.listen().await
}

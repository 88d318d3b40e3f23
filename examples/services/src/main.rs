//! Serves the radio.

use std::time::Duration;

use services::{Radio, archive};
use streamnest::prelude::*;

#[tokio::main]
async fn main() -> Result<(), streamnest::Error> {
    let app = Streamnest::builder().build().await?;
    let model = OfflineModel::new(OfflineOptions::default().with_tokens_per_second(20.0))
        .expect("twenty tokens a second is a pace that the model can keep");
    let radio = Radio { model, pause: Duration::from_secs(5) };
    let archive = archive(&app);
    let on_air = {
        let app = app.clone();
        async move {
            if let Err(error) = radio.on_air(&app).await {
                tracing::info!(%error, "radio goes off the air");
            }
            // The server stops when it is told to, not when the radio does.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = app.listen() => served?,
        () = on_air => {}
    }
    archive.stop().await;
    Ok(())
}

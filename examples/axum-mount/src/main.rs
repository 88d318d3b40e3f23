//! Serves the program, by axum itself.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use axum_mount::{LetterModule, routes};
use clap::Parser;
use streamnest::Streamnest;
use tokio::{net::TcpListener, signal};

/// Serves orders, and letters about them.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where to keep the logs of letters, so that they survive the program.
    #[arg(long, value_name = "DIRECTORY", default_value = "streamnest-data/axum-mount")]
    data_dir: PathBuf,
    /// Keep the logs in memory only: nothing survives the program.
    #[arg(long, conflicts_with = "data_dir")]
    memory: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    let builder = Streamnest::builder().module(LetterModule);
    let builder = if flags.memory { builder.in_memory() } else { builder.data_dir(flags.data_dir) };
    let app = builder.build().await?;
    let listener = TcpListener::bind(flags.listen).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let stopping = app.clone();
    // By an address of each request its limits count.
    let served = routes(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, served)
        .with_graceful_shutdown(async move {
            // A program that cannot hear Ctrl-C is ended by other means.
            if signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            // Runs come to their end and their readers hear of it, before axum closes what is left.
            stopping.shut_down().await;
        })
        .await?;
    Ok(())
}

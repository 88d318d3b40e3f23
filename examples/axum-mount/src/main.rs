//! Serves the program, by axum itself.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
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
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    let app = Streamnest::create::<LetterModule>().await?;
    let listener = TcpListener::bind(flags.listen).await?;
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let stopping = app.clone();
    axum::serve(listener, routes(app))
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

//! The server that the Autobahn suite talks to: a program like any other, with `/echo` beside its routes. What is asked for below
//! `/mounted`, at an address of its own, goes through an axum program, and so over another kind of socket.
#![allow(clippy::print_stdout, reason = "whoever starts it has to know where it listens")]

use std::net::SocketAddr;

use axum::Router;
use streamnest::Streamnest;
use streamnest_tests::workflows::Steps;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Streamnest::builder().workflow(Steps::default()).build().await?;
    app.gateway().echo();
    let mounted = Router::new().nest("/mounted", app.clone().into_router());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("mounted on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, mounted.into_make_service_with_connect_info::<SocketAddr>()) => served?,
        served = app.listen() => served?,
    }
    Ok(())
}

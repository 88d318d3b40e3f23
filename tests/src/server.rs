//! A server in this process.

use std::net::SocketAddr;

use streamnest::{App, AppBuilder};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// An application that listens on a free port of the loopback, until it is dropped or stopped.
#[derive(Debug)]
pub struct Server {
    /// The application.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), streamnest::Error>>,
}

impl Server {
    /// Builds and serves an application.
    pub async fn start(builder: AppBuilder) -> Self {
        let app = builder.build().await.expect("the test's application can be built");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = app.clone();
        let task = tokio::spawn(async move {
            serving
                .serve(listener, async {
                    let _ = stopped.await;
                })
                .await
        });
        Self { app, address, stop: Some(stop), task }
    }

    /// Shuts it down as SIGTERM does, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

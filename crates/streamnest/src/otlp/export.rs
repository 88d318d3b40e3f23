//! The task that sends spans.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::OtlpOptions;
use crate::Error;

/// Sends the spans of a layer, until it is dropped.
#[derive(Debug)]
pub struct OtlpExport {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    timeout: Duration,
}

impl OtlpExport {
    pub(super) fn start(
        options: &OtlpOptions,
        spans: mpsc::Receiver<SpanData>,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self, Error> {
        let refused = |error: &dyn std::fmt::Display| Error::Otlp { reason: error.to_string() };
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| refused(&error))?
            .https_or_http()
            .enable_http1()
            .build();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new(connector, options.timeout, None))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&options.traces_endpoint)
            .with_timeout(options.timeout)
            .build()
            .map_err(|error| refused(&error))?;
        let resource = Resource::builder().with_service_name(options.service_name.clone()).build();
        exporter.set_resource(&resource);
        let (stop, stopped) = oneshot::channel();
        let sending = Sending { exporter, spans, dropped, told: 0, options: options.clone() };
        let task = tokio::spawn(sending.run(stopped));
        Ok(Self { stop: Some(stop), task, timeout: options.timeout })
    }

    /// Sends what is left, for [`OtlpOptions::timeout`] at most.
    pub async fn shut_down(mut self) {
        drop(self.stop.take());
        if timeout(self.timeout, &mut self.task).await.is_err() {
            tracing::warn!("not all spans could be sent before the end");
        }
    }
}

impl Drop for OtlpExport {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sending {
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    dropped: Arc<AtomicU64>,
    /// How many of those that were dropped the log has told.
    told: u64,
    options: OtlpOptions,
}

impl Sending {
    async fn run(mut self, stopped: oneshot::Receiver<()>) {
        tokio::pin!(stopped);
        let mut batch = Vec::new();
        let mut is_stopped = false;
        loop {
            let gathered = self.gather(&mut batch);
            tokio::select! {
                biased;
                more = gathered => if !more { break },
                _ = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    // What waits is still taken; then the channel is at its end.
                    self.spans.close();
                    continue;
                }
            }
            self.send(&mut batch).await;
        }
        self.send(&mut batch).await;
    }

    /// Gathers spans, the first for as long as it takes; whether more may come.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) -> bool {
        let most = self.options.max_batch;
        if batch.is_empty() && self.spans.recv_many(batch, most).await == 0 {
            return false;
        }
        let rest = async {
            while batch.len() < most && self.spans.recv_many(batch, most - batch.len()).await > 0 {}
        };
        let _ = timeout(self.options.interval, rest).await;
        true
    }

    async fn send(&mut self, batch: &mut Vec<SpanData>) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            tracing::warn!(spans = dropped - self.told, "spans are dropped: more come than can be sent");
            self.told = dropped;
        }
        if batch.is_empty() {
            return;
        }
        let spans = batch.len();
        if let Err(error) = self.exporter.export(std::mem::take(batch)).await {
            tracing::warn!(spans, %error, "spans could not be sent, and are dropped");
        }
    }
}

//! A store whose changes of attributes are durable only when a test says so, and what a reader is told until then.

use std::sync::{Arc, Mutex};

use serde_json::json;
use streamnest_core::{
    Appended, AttributeChange, BoxFuture, DurabilityWatch, Entry, LogName, LogStore, Mark, Seq, StoreError,
    StoredLog, Term,
};

use crate::{
    engine::say,
    server::{Server, memory},
    socket::Socket,
};

/// Over the memory store, with one log.
struct Withheld {
    inner: Arc<dyn LogStore>,
    changes: Arc<Mutex<Changes>>,
}

#[derive(Default)]
struct Changes {
    watch: Option<Arc<dyn DurabilityWatch>>,
    mark: Mark,
    released: bool,
}

struct WithheldLog {
    inner: Arc<dyn StoredLog>,
    changes: Arc<Mutex<Changes>>,
}

impl Withheld {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: memory(), changes: Arc::default() })
    }

    /// All changes are durable, and those to come.
    fn release(&self) {
        let mut changes = self.changes.lock().unwrap();
        changes.released = true;
        let (watch, mark) = (changes.watch.clone().unwrap(), changes.mark);
        drop(changes);
        watch.durable(mark);
    }
}

impl LogStore for Withheld {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        self.changes.lock().unwrap().watch = Some(watch.clone());
        let changes = self.changes.clone();
        Box::pin(async move {
            let inner = self.inner.create(name, attributes, watch).await?;
            Ok(Arc::new(WithheldLog { inner, changes }) as Arc<dyn StoredLog>)
        })
    }

    forward!(inner: open, delete, list);
}

impl StoredLog for WithheldLog {
    forward!(inner: head, seal, read, trim);

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        let mut changes = self.changes.lock().unwrap();
        let appended = self.inner.append(term, expected_last, entries, attributes)?;
        changes.mark.last = entries.last().map_or(expected_last, |entry| entry.seq());
        changes.mark.changes += u64::from(!attributes.is_empty());
        Ok(if attributes.is_empty() || changes.released { appended } else { Appended::Pending })
    }
}

#[tokio::test]
async fn what_waits_to_be_acknowledged_for_good_is_told_as_lag() {
    let store = Withheld::new();
    let server = Server::on(store.clone()).await;
    let writer = server.held("a").await;
    say(&writer, 0, 3).await;
    let mut socket = Socket::open(&server).await;
    let named = json!({"executionId": "a", "subscription": "s1", "delivery": "at-most-once"});
    let confirmed = socket.subscribe(named).await;

    socket.send(json!({"type": "get_status"})).await;
    let status = socket.expect("status_response").await;
    let subscription = &status["payload"]["subscriptions"][0];
    assert_eq!(subscription["position"], confirmed["position"], "nothing was sent yet");
    assert_eq!(subscription["lag"], 4, "a status and three tokens are still to come");

    store.release();
    for sequence in 1..=4 {
        assert_eq!(socket.next().await["sequence"], sequence);
    }
    socket.send(json!({"type": "get_status"})).await;
    let status = socket.expect("status_response").await;
    assert_eq!(status["payload"]["subscriptions"][0]["lag"], 0);
}

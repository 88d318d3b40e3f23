//! Every kind of field, made and looked at.
use std::{sync::{Arc, atomic::{AtomicU32, Ordering}}, time::Duration};

use streamnest::{core::ExecutionId, modules::{Container, Error}, prelude::*};

#[injectable]
struct Unit;

#[injectable]
struct Tuple(Arc<Unit>, #[inject(value = 7)] u8);

#[injectable(scope = "execution")]
struct Notes {
    of: Arc<ExecutionId>,
    tuple: Arc<Tuple>,
}

#[injectable(init = begin, shutdown = end)]
pub(crate) struct Writer {
    model: Arc<dyn ChatModel>,
    #[inject(name = "fast")]
    fast: Arc<dyn ChatModel>,
    r#type: Option<Arc<Tuple>>,
    missing: Option<Arc<String>>,
    notes: Scoped<Notes>,
    #[inject(default)]
    begun: AtomicU32,
    #[inject(value = Duration::from_secs(5))]
    patience: Duration,
    #[cfg(any())]
    absent: Never,
}

impl Writer {
    async fn begin(&self) -> Result<(), Error> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn end(&self) {
        self.begun.fetch_add(10, Ordering::Relaxed);
    }
}

#[module(providers(Unit, Tuple, Notes, Writer, OfflineModel as dyn ChatModel, named("fast", OfflineModel as dyn ChatModel)))]
struct AppModule;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let container = Container::builder(AppModule).build().await.unwrap();
    let writer = container.get::<Writer>().unwrap();
    assert_eq!(writer.model.name(), writer.fast.name());
    assert!(!Arc::ptr_eq(&writer.model, &writer.fast));
    assert_eq!(writer.r#type.as_ref().unwrap().1, 7);
    assert!(writer.missing.is_none());
    assert_eq!(writer.patience, Duration::from_secs(5));
    let notes = writer.notes.open(&ExecutionId::new("one").unwrap()).await.unwrap();
    assert_eq!((notes.of.as_str(), notes.tuple.1), ("one", 7));
    container.shutdown().await;
    assert_eq!(writer.begun.load(Ordering::Relaxed), 11);
}

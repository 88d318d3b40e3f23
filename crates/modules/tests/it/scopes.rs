//! One for all, and one for each execution.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use streamnest_core::ExecutionId;
use streamnest_modules::{Container, Error, Module, Provider, ProviderScope, Scoped};

struct Model(AtomicUsize);

/// Each execution has its own.
struct Notes {
    of: String,
    model: Arc<Model>,
}

struct Editor {
    notes: Arc<Notes>,
}

struct Reviewer {
    notes: Arc<Notes>,
    editor: Arc<Editor>,
}

/// Lives as long as the application, and opens what each execution has.
struct Desk {
    reviewers: Scoped<Reviewer>,
    models: Scoped<Model>,
}

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn app(ended: &Arc<Mutex<Vec<String>>>) -> Module {
    let end = |what: &'static str| {
        let ended = ended.clone();
        move || ended.lock().unwrap().push(what.into())
    };
    let (notes, editor) = (end("notes"), end("editor"));
    Module::new("App")
        .provide(Provider::factory(|| Model(AtomicUsize::new(0))))
        .provide(
            Provider::factory(|id: Arc<ExecutionId>, model: Arc<Model>| {
                model.0.fetch_add(1, Ordering::Relaxed);
                Notes { of: id.as_str().into(), model }
            })
            .scope(ProviderScope::Execution)
            .on_shutdown(move |_| {
                notes();
                async {}
            }),
        )
        .provide(
            Provider::factory(|notes: Arc<Notes>| Editor { notes })
                .scope(ProviderScope::Execution)
                .on_shutdown(move |_| {
                    editor();
                    async {}
                }),
        )
        .provide(
            Provider::factory(|notes: Arc<Notes>, editor: Arc<Editor>| Reviewer { notes, editor })
                .scope(ProviderScope::Execution),
        )
        .provide(Provider::factory(|reviewers: Scoped<Reviewer>, models: Scoped<Model>| Desk {
            reviewers,
            models,
        }))
}

#[tokio::test]
async fn an_execution_has_its_own_and_all_in_it_share_that() {
    let ended = Arc::default();
    let container = Container::builder(app(&ended)).build().await.unwrap();
    let desk = container.get::<Desk>().unwrap();
    assert_eq!(
        (desk.reviewers.scope(), desk.models.scope()),
        (ProviderScope::Execution, ProviderScope::Application)
    );

    let first = desk.reviewers.open(&id("first")).await.unwrap();
    let second = desk.reviewers.open(&id("second")).await.unwrap();
    assert_eq!((first.notes.of.as_str(), second.notes.of.as_str()), ("first", "second"));
    assert!(Arc::ptr_eq(&first.notes, &first.editor.notes), "one for each execution");
    assert!(!Arc::ptr_eq(&first.notes, &second.notes));
    assert!(Arc::ptr_eq(&first.notes.model, &second.notes.model), "one for all");
    assert_eq!(first.notes.model.0.load(Ordering::Relaxed), 2, "nothing is made that is not needed");

    let notes = Arc::downgrade(&first.notes);
    first.close().await;
    assert_eq!(*ended.lock().unwrap(), ["editor", "notes"], "in the reverse order");
    assert!(notes.upgrade().is_none(), "nothing is kept");
    assert!(matches!(container.get::<Notes>(), Err(Error::PerExecution { .. })));
}

#[tokio::test]
async fn a_lease_of_what_serves_all_is_that() {
    let container = Container::builder(app(&Arc::default())).build().await.unwrap();
    let desk = container.get::<Desk>().unwrap();
    let lease = desk.models.open(&id("first")).await.unwrap();
    assert!(Arc::ptr_eq(&lease.value(), &container.get::<Model>().unwrap()));
}

#[tokio::test]
async fn what_was_made_ends_when_the_rest_cannot_be_made() {
    let ended = Arc::<Mutex<Vec<String>>>::default();
    let broken = Provider::try_factory(|_: Arc<Editor>| Err::<u8, _>(std::io::Error::other("no paper")))
        .scope(ProviderScope::Execution);
    struct Print(Scoped<u8>);
    let app = app(&ended).provide(broken).provide(Provider::factory(Print));
    let container = Container::builder(app).build().await.unwrap();
    let error = container.get::<Print>().unwrap().0.open(&id("first")).await.err().unwrap();
    assert_eq!(error.to_string(), "`u8` in module `App` could not be made: no paper");
    assert_eq!(*ended.lock().unwrap(), ["editor", "notes"]);
}

#[tokio::test]
async fn an_execution_that_begins_after_the_end_is_refused() {
    let container = Container::builder(app(&Arc::default())).build().await.unwrap();
    let reviewers = container.get::<Desk>().unwrap().reviewers.clone();
    drop(container);
    let error = reviewers.open(&id("late")).await.err().unwrap();
    assert_eq!(error.to_string(), "`Reviewer` is gone: the application has ended");
}

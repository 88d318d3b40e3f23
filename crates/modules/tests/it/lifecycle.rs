//! In which order things are made, begin and end, and what happens when that fails.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use streamnest_modules::{Container, ContainerOptions, Error, Module, Provider};

/// What happened, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Database;
struct Users;
struct Posts;
struct Site;

/// Writes down when it is made, begins and ends.
fn told<T: Send + Sync + 'static>(provider: Provider<T>, name: &'static str, diary: &Diary) -> Provider<T> {
    let (begin, end) = (diary.clone(), diary.clone());
    provider
        .on_init(move |_| {
            begin.write(format!("{name} begins"));
            async {}
        })
        .on_shutdown(move |_| {
            end.write(format!("{name} ends"));
            async {}
        })
}

/// A site of users and posts over a database, written down in an order that is none of need.
fn site(diary: &Diary) -> Module {
    let made = |name: &'static str| {
        let diary = diary.clone();
        move || diary.write(format!("{name} made"))
    };
    let (site, users, posts, database) = (made("site"), made("users"), made("posts"), made("database"));
    let storage = Module::new("Storage")
        .provide(told(
            Provider::factory(move || {
                database();
                Database
            }),
            "database",
            diary,
        ))
        .export::<Database>();
    Module::new("App")
        .provide(told(
            Provider::factory(move |_: Arc<Posts>, _: Arc<Users>| {
                site();
                Site
            }),
            "site",
            diary,
        ))
        .provide(told(
            Provider::factory(move |_: Arc<Database>| {
                users();
                Users
            }),
            "users",
            diary,
        ))
        .provide(told(
            Provider::factory(move |_: Arc<Users>| {
                posts();
                Posts
            }),
            "posts",
            diary,
        ))
        .import(storage)
}

#[tokio::test]
async fn everything_is_made_before_anything_begins_and_ends_in_the_reverse_order() {
    let diary = Diary::default();
    let container = Container::builder(site(&diary)).build().await.unwrap();
    assert_eq!(
        diary.read(),
        [
            "database made",
            "users made",
            "posts made",
            "site made",
            "database begins",
            "users begins",
            "posts begins",
            "site begins"
        ]
    );
    container.shutdown().await;
    assert_eq!(diary.read(), ["site ends", "posts ends", "users ends", "database ends"]);
    container.shutdown().await;
    assert_eq!(diary.read(), [""; 0], "nothing ends twice");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_is_made_begins_and_ends_is_logged_by_name_and_module() {
    let log = Log::default();
    let into = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .without_time()
        .with_ansi(false)
        .with_writer(move || into.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let broken = Provider::factory(|_: Arc<Site>| 7_u64)
        .on_shutdown(|_| async { Err::<(), _>(std::io::Error::other("still in use")) });
    let container = Container::builder(site(&Diary::default()).provide(broken)).build().await.unwrap();
    container.shutdown().await;
    drop(guard);
    let told = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let mut lines = told.lines();
    for (level, provider, module, what) in [
        ("DEBUG", "Database", "Storage", "provider made"),
        ("DEBUG", "Site", "App", "provider made"),
        ("INFO", "Database", "Storage", "provider began"),
        ("INFO", "Site", "App", "provider began"),
        ("INFO", "Site", "App", "provider ended"),
        ("INFO", "Database", "Storage", "provider ended"),
    ] {
        let is_it = |line: &&str| {
            line.contains(level) && line.contains(what) && line.contains(provider) && line.contains(module)
        };
        assert!(lines.any(|line| is_it(&line)), "no `{what}` of `{provider}` in its place:\n{told}");
    }
    assert!(told.contains("modules=2"), "{told}");
    assert!(told.lines().any(|line| line.contains("ERROR") && line.contains("still in use")), "{told}");
}

#[tokio::test]
async fn when_something_cannot_begin_what_has_begun_ends() {
    let diary = Diary::default();
    let broken = Provider::factory(|_: Arc<Site>| 7_u64)
        .on_init(|_| async { Err::<(), _>(std::io::Error::other("no route to host")) });
    let app = Module::new("Outer").import(site(&diary)).provide(broken);
    let told = Container::builder(app).build().await.unwrap_err().to_string();
    // `Site` is not exported.
    assert!(told.contains("`exports(…)` of `App`"), "{told}");

    let broken = Provider::factory(|_: Arc<Site>| 7_u64)
        .on_init(|_| async { Err::<(), _>(std::io::Error::other("no route to host")) });
    let error = Container::builder(site(&diary).provide(broken)).build().await.unwrap_err();
    assert_eq!(error.code(), "hook_failed");
    assert_eq!(error.to_string(), "`u64` in module `App` failed when it began: no route to host");
    let lines = diary.read();
    assert_eq!(
        lines.get(8..).unwrap(),
        ["site ends", "posts ends", "users ends", "database ends"],
        "{lines:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_made_is_told_with_its_cause_and_nothing_begins() {
    let diary = Diary::default();
    let broken = Provider::async_factory(|_: Arc<Database>| async {
        Err::<u64, _>(std::io::Error::other("out of memory"))
    });
    let error = Container::builder(site(&diary).provide(broken)).build().await.unwrap_err();
    assert_eq!(error.to_string(), "`u64` in module `App` could not be made: out of memory");
    assert!(error.is_retryable());
    assert!(!diary.read().iter().any(|line| line.ends_with("begins")));
}

async fn unlucky(_: Arc<u64>) {
    panic!("no luck either");
}

#[tokio::test]
async fn a_panic_is_an_error_that_names_who_panicked() {
    let app = Module::new("App").provide(Provider::factory(|| -> u64 { panic!("no luck") }));
    let error = Container::builder(app).build().await.unwrap_err();
    assert_eq!(error.code(), "provider_panicked");
    assert_eq!(error.to_string(), "`u64` in module `App` panicked when it was made: no luck");

    let app = Module::new("App").provide(Provider::value(7_u64).on_init(unlucky));
    let error = Container::builder(app).build().await.unwrap_err();
    assert_eq!(error.to_string(), "`u64` in module `App` panicked when it began: no luck either");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_left_after_its_time_and_the_next_one_runs() {
    let diary = Diary::default();
    let ended = diary.clone();
    let app = Module::new("App")
        .provide(Provider::value(Database).on_shutdown(move |_| {
            ended.write("database ends");
            async {}
        }))
        .provide(Provider::factory(|_: Arc<Database>| Users).on_shutdown(|_| std::future::pending::<()>()));
    let options = ContainerOptions::default().with_hook_timeout(Duration::from_secs(3));
    let container = Container::builder(app).options(options).build().await.unwrap();
    let began = tokio::time::Instant::now();
    container.shutdown().await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(diary.read(), ["database ends"]);

    let slow = Module::new("App").provide(Provider::value(1_u8).on_init(|_| std::future::pending::<()>()));
    let error = Container::builder(slow).build().await.unwrap_err();
    assert!(matches!(error, Error::HookTimeout { .. }), "{error}");
}

#[tokio::test]
async fn a_container_that_is_only_made_begins_when_it_is_told_to() {
    let diary = Diary::default();
    let container = Container::builder(site(&diary)).make().await.unwrap();
    assert_eq!(diary.read().len(), 4);
    container.shutdown().await;
    assert_eq!(diary.read(), [""; 0], "what has not begun does not end");
    container.init().await.unwrap();
    assert_eq!(diary.read().len(), 4);
    container.init().await.unwrap();
    assert_eq!(diary.read(), [""; 0], "nothing begins twice");
}

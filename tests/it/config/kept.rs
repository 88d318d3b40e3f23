//! Where the logs are kept, and how, as options, flags and the builder say it.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Parser as _;
use serde_json::json;
use streamnest::{
    App, AppBuilder, Error, ServerFlags, StreamingOptions, Streamnest,
    core::{Clock, Epoch, ExecutionId, LogName, NamesLog as _, Timestamp},
    log::SystemClock,
    log_disk::{DiskOptions, DiskStore, Durability},
};
use streamnest_tests::workflows::Steps;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::file;

/// The options of a file with this text, beside which there is room for directories.
fn options(text: &str) -> (TempDir, StreamingOptions) {
    let (folder, path) = file("");
    fs::write(&path, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    let options = StreamingOptions::from_file(path).unwrap();
    (folder, options)
}

fn steps() -> AppBuilder {
    Streamnest::builder().workflow(Steps::default())
}

/// Lets `app` listen by these flags, until its logs are kept somewhere.
async fn listen(app: &App, arguments: &[&str]) -> JoinHandle<Result<(), Error>> {
    let flags = ["program", "--log", "error", "--listen", "127.0.0.1:0"];
    let flags = ServerFlags::try_parse_from(flags.iter().chain(arguments)).unwrap();
    let serving = app.clone();
    let mut task = tokio::spawn(async move { flags.serve(&serving).await });
    tokio::select! {
        ended = &mut task => panic!("{:?}", ended.unwrap()),
        () = async {
            while !app.logs().is_persistent() {
                tokio::task::yield_now().await;
            }
        } => task,
    }
}

/// Lets a run of `tokens` tokens come to its end.
async fn run(app: &App, tokens: u32) -> ExecutionId {
    let run = app.start("steps", json!({"tokens": tokens})).await.unwrap();
    run.result().await.unwrap();
    run.execution_id().clone()
}

fn segments(directory: &Path) -> usize {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.extension().is_some_and(|extension| extension == "log")).count()
}

/// The epochs of a log that has not ended, before a kill and after it.
async fn epochs(app: &App, directory: &Path) -> (Epoch, Epoch) {
    let name = LogName::new("held").unwrap();
    let writer = app.logs().create(&name).await.unwrap();
    let (before, copy) = (writer.log().identity().epoch(), tempfile::tempdir().unwrap());
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let store = DiskStore::open(copy.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
    let found = streamnest::core::LogStore::list(&store, "held", None, 1).await.unwrap();
    (before, found[0].head.epoch)
}

#[tokio::test]
async fn a_file_says_where_logs_are_kept_and_how() {
    let text = "data_dir = 'FOLDER/kept'\n[disk]\nsegment_bytes = 4096\nreserve_bytes = 12345\ndurability = 'memory'";
    let (folder, options) = options(text);
    let kept = folder.path().join("kept");
    let app = steps().options(options).build().await.unwrap();
    // It is not open yet, and nothing that is to be kept goes to memory instead.
    let error = app.start("steps", json!({"tokens": 1})).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let serving = listen(&app, &[]).await;
    let (before, after) = epochs(&app, &kept).await;
    assert_ne!(before, after, "what is not synced may be gone");
    run(&app, 200).await;
    assert_eq!(fs::metadata(kept.join("reserve")).unwrap().len(), 12_345);
    assert!(segments(&kept) > 1, "{} segments", segments(&kept));
    serving.abort();
}

#[tokio::test]
async fn flags_win_over_the_file() {
    let (folder, options) =
        options("data_dir = 'FOLDER/file'\n[disk]\nreserve_bytes = 0\ndurability = 'memory'");
    let (named, other) = (folder.path().join("file"), folder.path().join("flag"));
    let app = steps().options(options.clone()).build().await.unwrap();
    let serving = listen(&app, &["--data-dir", other.to_str().unwrap(), "--durability", "sync"]).await;
    assert!(other.join("FORMAT").exists() && !named.exists());
    let (before, after) = epochs(&app, &other).await;
    assert_eq!(before, after, "nothing that was seen is ever lost");
    serving.abort();
    // Without a directory its options have no effect.
    let app = steps().options(options).build().await.unwrap();
    let flags =
        ServerFlags::try_parse_from(["program", "--log", "error", "--listen", "127.0.0.1:0", "--memory"]);
    let serving = app.clone();
    let serving = tokio::spawn(async move { flags.unwrap().serve(&serving).await });
    while app.start("steps", json!({"tokens": 1})).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(!app.logs().is_persistent() && !named.exists());
    serving.abort();
}

#[tokio::test]
async fn a_program_that_does_not_listen_names_its_directory_when_it_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let disk = DiskOptions::default()
        .with_reserve_bytes(0)
        .with_durability(Durability::Interval(Duration::from_secs(60)));
    let built = || steps().disk_options(disk.clone()).data_dir(directory.path()).build();
    let app = built().await.unwrap();
    let id = run(&app, 3).await;
    let (before, after) = epochs(&app, directory.path()).await;
    assert_ne!(before, after, "the last minute may be gone");
    let error = built().await.unwrap_err();
    assert!(matches!(error, Error::DataDirectory(_)) && error.code() == "data_directory_locked", "{error}");
    app.shut_down().await;
    drop(app);
    let app = built().await.unwrap();
    let again = app.attach(&id).await.unwrap();
    assert_eq!(again.result().await.unwrap()["tokens"], 3);
    // Flags that say where are refused, for the program has said so.
    let flags =
        ServerFlags::try_parse_from(["program", "--listen", "127.0.0.1:0", "--data-dir", "elsewhere"]);
    assert_eq!(flags.unwrap().serve(&app).await.unwrap_err().code(), "store_chosen");
}

#[tokio::test]
async fn options_of_a_directory_that_there_is_not_are_refused() {
    let error = async |builder: AppBuilder| builder.build().await.unwrap_err();
    let disk = DiskOptions::default().with_readers(1);
    let unused = error(steps().disk_options(disk).in_memory()).await;
    assert!(matches!(unused, Error::OptionUnused { option: "disk", .. }), "{unused}");
    assert_eq!(unused.code(), "option_unused");
    let named = || StreamingOptions::default().with_data_dir("a".into());
    let unused = error(steps().options(named()).in_memory()).await;
    assert!(matches!(unused, Error::OptionUnused { option: "data_dir", .. }), "{unused}");
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("data");
    let twice = error(steps().options(named()).data_dir(&place)).await;
    assert!(matches!(twice, Error::OptionTwice { option: "data_dir", .. }), "{twice}");
    let wrong = error(steps().disk_options(DiskOptions::default().with_readers(0)).data_dir(&place)).await;
    assert!(
        wrong.code() == "invalid_option" && wrong.to_string().contains("`DiskOptions::readers`"),
        "{wrong}"
    );
    assert!(!place.exists(), "nothing is made for a program that does not begin");
}

/// A clock that a test holds.
#[derive(Debug)]
struct Held(AtomicU64);

impl Clock for Held {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// The finished executions that the directory has, once it was looked over.
async fn listed(app: &App, expected: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..400 {
        let all = app.logs().list(LogName::EXECUTIONS, None, 100).await.unwrap();
        found = all.into_iter().map(|listed| listed.name.to_string()).collect();
        if found.len() == expected {
            break;
        }
        // The next look is due by the clock of this process.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    found
}

#[tokio::test]
async fn a_file_says_for_how_long_and_how_much() {
    let (folder, options) = options(
        "[disk]\nreserve_bytes = 0\nfinished_ttl = '30d'\nmax_finished_bytes = 120000\nsegment_bytes = 8192\ncompact_above = 0.1\nmax_index_bytes = 100000",
    );
    let kept = folder.path().join("kept");
    let clock = Arc::new(Held(AtomicU64::new(1_700_000_000_000_000)));
    let app = steps().options(options).data_dir(&kept).clock(clock.clone()).build().await.unwrap();
    let forward =
        |time: Duration| clock.0.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    let first = run(&app, 200).await;
    forward(Duration::from_secs(1));
    let second = run(&app, 200).await;
    let bytes = app.logs().list(LogName::EXECUTIONS, None, 1).await.unwrap()[0].head.bytes;
    assert!((60_000..120_000).contains(&bytes), "one is within the bound and two are not: {bytes} bytes");
    let left = listed(&app, 1).await;
    assert_eq!(left, [second.log_name().to_string()], "the older one, {first}, was too much");
    forward(Duration::from_secs(29 * 24 * 3600));
    assert_eq!(listed(&app, 1).await.len(), 1);
    forward(Duration::from_secs(24 * 3600 + 1));
    assert_eq!(listed(&app, 0).await.len(), 0, "its time is over");
    // The index is full before the disk is.
    let mut made = 0;
    let refused = loop {
        match app.logs().create(&LogName::new(&format!("stream-{made}")).unwrap()).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(
        refused.to_string().contains("max_index_bytes") && (50..1000).contains(&made),
        "{made}: {refused}"
    );
}

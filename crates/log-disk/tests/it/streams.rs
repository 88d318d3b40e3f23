//! Streams of the Durable Streams protocol on the disk: what a restart and a crash leave of them.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use streamnest_core::{AttributeChange, Event, Lifetime, LogName, LogStore, Position, Producer, Status};
use streamnest_log::{
    Error, LogOptions, MemoryStore, Registry, SystemClock,
    durable::{Append, Creation, ForkAt, Stream, StreamOptions, Streams},
    once_attribute,
};
use streamnest_log_disk::{DiskOptions, DiskStore, Durability};
use tempfile::TempDir;

struct World {
    streams: Streams,
    logs: Registry,
}

fn over(store: Arc<dyn LogStore>) -> World {
    bounded(store, LogOptions::default())
}

fn bounded(store: Arc<dyn LogStore>, options: LogOptions) -> World {
    let logs = Registry::new(store, Arc::new(SystemClock), options);
    World { streams: Streams::new(logs.clone(), StreamOptions::default()), logs }
}

fn on(path: &Path) -> World {
    over(Arc::new(DiskStore::open(path, Arc::new(SystemClock), DiskOptions::default()).unwrap()))
}

fn name(path: &str) -> LogName {
    Streams::name(path).unwrap()
}

fn text() -> Creation {
    Creation { content_type: "text/plain".into(), ..Creation::default() }
}

fn data(body: &str) -> Append {
    Append { events: vec![Event::data(Bytes::copy_from_slice(body.as_bytes()))], ..Append::default() }
}

fn close() -> Append {
    Append { close: true, ..Append::default() }
}

fn by(epoch: u64, seq: u64, body: &str) -> Append {
    Append { producer: Some(Producer { id: "p".into(), epoch, seq }), ..data(body) }
}

fn fork(source: &str, at: Option<Position>) -> Creation {
    Creation {
        fork: Some(ForkAt { source: name(source), at, sub_offset: 0, cut: |_, _| None }),
        ..Creation::default()
    }
}

impl World {
    async fn get(&self, path: &str) -> Arc<Stream> {
        self.streams.get(&name(path)).await.unwrap()
    }

    async fn make(&self, path: &str, creation: Creation) -> Arc<Stream> {
        self.streams.create(&name(path), creation).await.unwrap().stream
    }

    async fn append(&self, path: &str, append: Append) -> Position {
        let stream = self.get(path).await;
        self.streams.append(&stream, append).await.unwrap().stand.tail
    }

    async fn read(&self, path: &str) -> String {
        self.read_after(path, Position::BEFORE_FIRST).await
    }

    async fn read_after(&self, path: &str, after: Position) -> String {
        let mut reader = self.streams.reader(&self.get(path).await).await.unwrap();
        reader.go_after(after).unwrap();
        let chunk = reader.read(usize::MAX).await.unwrap();
        assert!(chunk.up_to_date);
        let entries = chunk.parts.iter().flat_map(|(_, entries)| entries);
        let text: Vec<u8> = entries.flat_map(|entry| entry.event().payload().to_vec()).collect();
        reader.go_after(after).unwrap();
        let said = reader.read_passage(usize::MAX, None).await.unwrap();
        assert_eq!((said.parts.concat(), said.next, said.closed), (text.clone(), chunk.next, chunk.closed));
        String::from_utf8(text).unwrap()
    }
}

#[tokio::test]
async fn a_stream_holds_as_much_after_a_restart_as_before() {
    let folder = TempDir::new().unwrap();
    let open = || {
        let store = DiskStore::open(folder.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
        let logs = Registry::new(Arc::new(store), Arc::new(SystemClock), LogOptions::default());
        let options = StreamOptions::default().with_max_stream_bytes(1_000).with_max_total_bytes(1_500);
        World { streams: Streams::new(logs.clone(), options), logs }
    };
    let world = open();
    world.make("a", Creation { events: data("first").events, ..text() }).await;
    world.make("b", text()).await;
    for number in 0..99 {
        world.append("a", data("more!")).await;
        world.append("b", by(0, number, "b")).await;
    }
    world.append("b", by(0, 98, "again, which is not appended")).await;
    assert_eq!(world.streams.bytes(), 599);
    drop(world);
    for restart in 0..3 {
        let world = open();
        let (a, b) = (world.get("a").await, world.get("b").await);
        assert_eq!(world.streams.bytes(), 599 + restart, "restart {restart}");
        let refused = world.streams.append(&a, data(&"x".repeat(501 - restart as usize))).await;
        assert!(matches!(refused, Err(Error::StreamFull { limit: 1_000 })), "{refused:?}");
        let refused = world.streams.append(&b, data(&"x".repeat(902 - restart as usize))).await;
        assert!(refused.is_err(), "{refused:?}");
        world.append("a", data("x")).await;
    }
    let world = open();
    world.append("a", data(&"x".repeat(497))).await;
    let a = world.get("a").await;
    assert!(matches!(world.streams.append(&a, data("x")).await, Err(Error::StreamFull { .. })));
}

#[tokio::test]
async fn executions_that_have_ended_take_no_place_after_a_restart_either() {
    let folder = TempDir::new().unwrap();
    let open = || {
        let store = DiskStore::open(folder.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
        let logs = Registry::new(Arc::new(store), Arc::new(SystemClock), LogOptions::default());
        let options = StreamOptions::default().with_max_streams(2);
        World { streams: Streams::new(logs.clone(), options), logs }
    };
    let execution = |number: usize| LogName::new(&format!("executions/run{number}")).unwrap();
    for restart in 0..4 {
        let world = open();
        for number in 0..3 {
            let name = execution(restart * 3 + number);
            let stream = world.streams.create(&name, text()).await.unwrap().stream;
            world.streams.append(&stream, close()).await.unwrap();
        }
        for number in 0..restart * 3 {
            let stream = world.streams.get(&execution(number)).await.unwrap();
            assert!(world.streams.append(&stream, close()).await.unwrap().duplicate, "{number}");
            let log = world.logs.open(stream.name()).await.unwrap().unwrap().log().clone();
            assert_eq!(log.head().status, Some(Status::Completed));
        }
        assert_eq!(world.streams.len(), 0, "restart {restart}");
    }
}

#[tokio::test]
async fn streams_are_there_after_any_number_of_restarts() {
    let folder = TempDir::new().unwrap();
    let (mut text_so_far, mut offsets) = (String::new(), Vec::new());
    for round in 0..5 {
        let world = on(folder.path());
        if round == 0 {
            let lifetime = Some(Lifetime::Sliding(Duration::from_secs(3600)));
            world.make("a", Creation { lifetime, ..text() }).await;
            world.make("closed", Creation { closed: true, events: data("all").events, ..text() }).await;
            world.make("fork", fork("a", None)).await;
        }
        assert_eq!(world.read("a").await, text_so_far, "round {round}");
        assert_eq!(world.get("a").await.facts().lifetime, Some(Lifetime::Sliding(Duration::from_secs(3600))));
        let closed = world.get("closed").await;
        assert!(world.streams.stand(&closed).await.unwrap().closed);
        assert!(matches!(world.streams.append(&closed, data("x")).await, Err(Error::StreamClosed)));
        assert_eq!(world.read("fork").await, "f".repeat(round));
        for (seen, offset) in &offsets {
            assert_eq!(
                world.read_after("a", *offset).await,
                text_so_far[*seen..],
                "an offset of an earlier round"
            );
        }
        // The request before the restart comes again, and the one after it.
        let stream = world.get("a").await;
        if let Some(last) = (round as u64).checked_sub(1) {
            let again = world.streams.append(&stream, by(0, last, "again")).await.unwrap();
            assert!(again.duplicate);
        }
        let offset = world.append("a", by(0, round as u64, &round.to_string())).await;
        text_so_far += &round.to_string();
        offsets.push((text_so_far.len(), offset));
        world.append("fork", data("f")).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_torn_write() {
    let folder = TempDir::new().unwrap();
    {
        let world = on(folder.path());
        world.make("a", text()).await;
        world.append("a", data("kept")).await;
    }
    for round in 0..4 {
        let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let newest =
            files.filter(|path| path.extension().is_some_and(|kind| kind == "seg" || kind == "log")).max();
        let newest = newest.expect("a segment");
        OpenOptions::new().append(true).open(newest).unwrap().write_all(&vec![0xff; 2 + round]).unwrap();
        let world = on(folder.path());
        assert_eq!(world.read("a").await, format!("kept{}", "+".repeat(round)));
        world.append("a", data("+")).await;
    }
}

#[tokio::test]
async fn a_crash_leaves_no_half_stream_and_no_half_closure() {
    let folder = TempDir::new().unwrap();
    let set = |key: &str, value: &str| AttributeChange::set(key, value.to_owned()).unwrap();
    {
        let world = on(folder.path());
        // As a crash leaves them: made without what it begins with, and closed without being sealed.
        let half = [set("content-type", "text/plain"), set("created", "1")];
        world.logs.create_with(&name("half"), &half).await.unwrap();
        world.make("closing", text()).await;
        let writer = world.logs.open(&name("closing")).await.unwrap().unwrap();
        let closed = writer.append_with(data("end").events, vec![set("closed", "")]).await.unwrap();
        writer.settled(closed).await.unwrap();
        assert!(!writer.log().head().sealed);
    }
    let world = on(folder.path());
    assert!(matches!(world.streams.get(&name("half")).await, Err(Error::UnknownStream { .. })));
    world.make("half", text()).await;
    let closing = world.get("closing").await;
    let mut reader = world.streams.reader(&closing).await.unwrap();
    let chunk = reader.read(usize::MAX).await.unwrap();
    assert!(chunk.closed && !chunk.is_empty());
    assert!(world.logs.open(&name("closing")).await.unwrap().unwrap().log().head().sealed);
}

#[tokio::test]
async fn a_deleted_source_lives_on_for_its_forks_over_a_restart() {
    let folder = TempDir::new().unwrap();
    {
        let world = on(folder.path());
        world.make("source", text()).await;
        world.append("source", data("a")).await;
        world.make("fork", fork("source", None)).await;
        world.streams.delete(&world.get("source").await).await.unwrap();
    }
    {
        let world = on(folder.path());
        assert!(matches!(world.streams.get(&name("source")).await, Err(Error::StreamDeleted { .. })));
        assert!(matches!(
            world.streams.create(&name("source"), text()).await,
            Err(Error::StreamExists { .. })
        ));
        assert_eq!(world.read("fork").await, "a");
        world.streams.delete(&world.get("fork").await).await.unwrap();
    }
    let world = on(folder.path());
    assert!(matches!(world.streams.get(&name("source")).await, Err(Error::UnknownStream { .. })));
    assert!(world.logs.list(Streams::PREFIX, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_execution_from_outside_goes_on_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let execution = LogName::new("executions/outside").unwrap();
    let said = |n: u64| Append { producer: Some(Producer { id: "p".into(), epoch: 0, seq: n }), ..data("x") };
    let once = |keys: &[&str]| Append {
        events: keys.iter().map(|key| Event::data(Bytes::copy_from_slice(key.as_bytes()))).collect(),
        once: keys.iter().enumerate().map(|(place, key)| (place, once_attribute(key).unwrap())).collect(),
        ..Append::default()
    };
    let last =
        async |world: &World| world.logs.open(&execution).await.unwrap().unwrap().log().head().last.get();
    {
        let world = on(folder.path());
        let stream = world.streams.create(&execution, text()).await.unwrap().stream;
        world.streams.append(&stream, once(&["bill-1", "bill-2", "bill-1"])).await.unwrap();
        assert_eq!(last(&world).await, 3, "the status and two bills, each once");
    }
    {
        let world = on(folder.path());
        let stream = world.streams.get(&execution).await.unwrap();
        // Who is no idempotent producer, or has lost its place, says everything again.
        world.streams.append(&stream, once(&["bill-1", "bill-2"])).await.unwrap();
        assert_eq!(last(&world).await, 3, "they were said before the restart");
        world.streams.append(&stream, once(&["bill-2", "bill-3"])).await.unwrap();
        assert_eq!(last(&world).await, 4, "one is new");
        world.streams.append(&stream, said(0)).await.unwrap();
    }
    let world = on(folder.path());
    let stream = world.streams.get(&execution).await.unwrap();
    assert!(world.streams.append(&stream, said(0)).await.unwrap().duplicate);
    assert!(!world.streams.append(&stream, Append { close: true, ..said(1) }).await.unwrap().duplicate);
    let head = world.logs.open(&execution).await.unwrap().unwrap().log().head();
    assert_eq!((head.status, head.sealed, head.last.get()), (Some(Status::Completed), true, 7));
}

#[tokio::test]
async fn positions_sort_also_after_a_crash_that_may_have_taken_entries() {
    let folder = TempDir::new().unwrap();
    let options = || DiskOptions::default().with_durability(Durability::Memory);
    let open = || over(Arc::new(DiskStore::open(folder.path(), Arc::new(SystemClock), options()).unwrap()));
    let stale = {
        let world = open();
        world.make("b-source", text()).await;
        let stale = world.append("b-source", data("a")).await;
        world.make("a-fork", fork("b-source", None)).await;
        world.append("a-fork", data("b")).await;
        // The process is killed: nothing is closed, and the folder is as it stands.
        let copy = TempDir::new().unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        // What this process still writes is written before the files of the killed one are put in their place.
        world.logs.close().await;
        drop(world);
        for file in fs::read_dir(copy.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        stale
    };
    let world = open();
    assert_eq!(world.read("a-fork").await, "ab");
    let mut reader = world.streams.reader(&world.get("a-fork").await).await.unwrap();
    let mut positions = Vec::new();
    loop {
        let chunk = reader.read(1).await.unwrap();
        if chunk.is_empty() {
            break;
        }
        positions.push(chunk.next.to_string());
    }
    assert!(positions.len() == 2 && positions.is_sorted(), "{positions:?}");
    let mut reader = world.streams.reader(&world.get("b-source").await).await.unwrap();
    assert!(matches!(reader.go_after(stale), Err(Error::StalePosition { .. })));
}

#[tokio::test]
async fn requests_that_come_before_the_streams_are_known_wait() {
    let folder = TempDir::new().unwrap();
    {
        let world = on(folder.path());
        for number in 0..50 {
            world
                .make(&number.to_string(), Creation { events: data(&number.to_string()).events, ..text() })
                .await;
        }
    }
    let world = Arc::new(on(folder.path()));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let world = world.clone();
        tasks.spawn(async move {
            let path = number.to_string();
            assert_eq!(world.read(&path).await, path);
            world.append(&path, data("!")).await;
            assert_eq!(world.read(&path).await, format!("{path}!"));
        });
    }
    tasks.join_all().await;
    assert_eq!(world.streams.len(), 50);
}

#[tokio::test]
async fn a_request_that_is_broken_off_anywhere_leaves_a_whole_stream_or_none() {
    let folder = TempDir::new().unwrap();
    let world = on(folder.path());
    let creation = Creation { events: data("begin").events, ..text() };
    for polls in 1..12 {
        let path = format!("stream-{polls}");
        let name = name(&path);
        let mut making = Box::pin(world.streams.create(&name, creation.clone()));
        let made = poll(making.as_mut(), polls).await;
        drop(making);
        let again = world.streams.create(&name, creation.clone()).await.unwrap();
        assert!(again.existed || !made, "{polls}");
        assert_eq!(world.read(&path).await, "begin");
        let stream = again.stream;
        let mut deleting = Box::pin(world.streams.delete(&stream));
        poll(deleting.as_mut(), polls).await;
        drop(deleting);
        match world.streams.get(&name).await {
            Ok(stream) => world.streams.delete(&stream).await.unwrap(),
            Err(error) => assert!(matches!(error, Error::UnknownStream { .. }), "{error}"),
        }
        assert!(!world.streams.create(&name, creation.clone()).await.unwrap().existed);
        assert_eq!(world.read(&path).await, "begin");
    }
}

/// Polls a future so many times, with pauses in which the store works; whether it was done.
async fn poll<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>, times: usize) -> bool {
    for _ in 0..times {
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    false
}

#[tokio::test]
async fn memory_and_disk_do_the_same_and_content_moves_between_them() {
    let folder = TempDir::new().unwrap();
    let memory = over(Arc::new(MemoryStore::new(Arc::new(SystemClock))));
    let disk = on(folder.path());
    let mut results = Vec::new();
    for world in [&memory, &disk] {
        world.make("a", text()).await;
        let middle = world.append("a", data("one ")).await;
        world.append("a", by(0, 0, "two")).await;
        world.make("b", fork("a", Some(middle))).await;
        world.append("b", data("three")).await;
        world.append("a", close()).await;
        let refused = world.streams.append(&world.get("a").await, data("x")).await.unwrap_err();
        results.push((world.read("a").await, world.read("b").await, refused.code()));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], ("one two".into(), "one three".into(), "stream_closed"));
    disk.make("moved", text()).await;
    disk.append("moved", data(&memory.read("b").await)).await;
    assert_eq!(disk.read("moved").await, memory.read("b").await);
}

#[tokio::test]
async fn streams_that_come_and_go_leave_no_files_open_and_no_bytes() {
    let open_files = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let folder = TempDir::new().unwrap();
    let options = DiskOptions::default().with_segment_bytes(64 << 10).with_reserve_bytes(0);
    let world = over(Arc::new(DiskStore::open(folder.path(), Arc::new(SystemClock), options).unwrap()));
    world.make("stays", Creation { events: data("stays").events, ..text() }).await;
    let before = open_files();
    let body = "x".repeat(10 << 10);
    for number in 0..100 {
        let path = number.to_string();
        world.make(&path, text()).await;
        world.append(&path, data(&body)).await;
        assert_eq!(world.read(&path).await.len(), body.len());
        world.streams.delete(&world.get(&path).await).await.unwrap();
    }
    assert!(open_files() <= before + 30, "{before} files were open, now {}", open_files());
    assert_eq!((world.streams.len(), world.streams.bytes(), world.logs.len()), (1, 5, 1));
    let kept: BTreeMap<_, _> = world
        .logs
        .list("", None, 1_000)
        .await
        .unwrap()
        .into_iter()
        .map(|log| (log.name, log.head.bytes))
        .collect();
    assert_eq!(kept.len(), 1);
    drop(world);
    assert_eq!(on(folder.path()).read("stays").await, "stays");
}

#[tokio::test]
async fn more_streams_than_fit_in_memory_leave_it_by_turns_and_come_back_from_the_disk() {
    let folder = TempDir::new().unwrap();
    let store =
        Arc::new(DiskStore::open(folder.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap());
    let world = bounded(store, LogOptions::default().with_max_logs(4));
    for round in 0..3 {
        for number in 0..20 {
            let path = format!("s{number}");
            if round == 0 {
                world.make(&path, text()).await;
            }
            let body = format!("{number}:{round} ");
            world.append(&path, by(0, round, &body)).await;
            // The same request again is known, whether the stream was in memory or not.
            world.append(&path, by(0, round, &body)).await;
            assert!(world.logs.len() <= 4, "{} in memory", world.logs.len());
        }
    }
    // Who reads one keeps it in memory.
    let mut reader = world.streams.reader(&world.get("s7").await).await.unwrap();
    for number in 0..20 {
        let expected: String = (0..3).map(|round| format!("{number}:{round} ")).collect();
        assert_eq!(world.read(&format!("s{number}")).await, expected);
    }
    let held = reader.log().clone();
    world.append("s7", by(0, 3, "on")).await;
    let chunk = reader.read(usize::MAX).await.unwrap();
    assert_eq!(chunk.parts.iter().map(|(_, entries)| entries.len()).sum::<usize>(), 4);
    assert!(Arc::ptr_eq(&held, &world.logs.get(&name("s7")).unwrap()), "there is one log of it");
}

#[tokio::test]
async fn streams_that_nobody_uses_leave_memory_after_a_while() {
    let folder = TempDir::new().unwrap();
    let store =
        Arc::new(DiskStore::open(folder.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap());
    let world = bounded(store, LogOptions::default().with_stream_idle_ttl(Duration::from_millis(1)));
    for path in ["idle", "read"] {
        world.make(path, text()).await;
        world.append(path, data("kept")).await;
    }
    let reader = world.streams.reader(&world.get("read").await).await.unwrap();
    tokio::select! {
        () = world.logs.maintain() => {}
        () = async {
            while world.logs.len() > 1 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    assert!(reader.log().head().last.get() == 1);
    assert_eq!(world.logs.len(), 1, "the one that is read");
    assert_eq!(world.read("idle").await, "kept");
}

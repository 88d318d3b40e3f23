//! Bytes for the wire: made once, shared by all, in the books.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use bytes::Bytes;
use streamnest_core::{Entry, LogIdentity, WireFormat};
use streamnest_log::{LogOptions, Start};

use crate::{
    slow_store::SlowStore,
    support::{
        Loud, Plain, SetClock, append, batch, chaos, event_of, id, limit, now, plain, poll, registry, seq,
    },
};

/// Counts its calls. Slot 0 is its own in this test program.
struct Counted;
static CALLS: AtomicUsize = AtomicUsize::new(0);

impl WireFormat for Counted {
    const SLOT: usize = 0;
    fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        CALLS.fetch_add(1, Ordering::SeqCst);
        // Others get every chance to come between.
        thread::yield_now();
        out.extend_from_slice(plain(entry).as_bytes());
    }
}

#[test]
fn a_thousand_readers_that_race_have_each_entry_encoded_once() {
    let rounds = if chaos() { 20 } else { 1 };
    for _ in 0..rounds {
        let writer = now(registry(LogOptions::default()).create(&id("run"))).unwrap().unwrap();
        let threads = 8;
        let start = Barrier::new(threads + 1);
        let before = CALLS.load(Ordering::SeqCst);
        thread::scope(|scope| {
            for reader_thread in 0..threads {
                let (log, start) = (writer.log(), &start);
                scope.spawn(move || {
                    let mut cursors: Vec<_> = (0..125).map(|_| log.cursor(Start::Beginning)).collect();
                    let mut got = vec![String::new(); cursors.len()];
                    start.wait();
                    let mut open = cursors.len();
                    while open > 0 {
                        open = 0;
                        for (n, (cursor, got)) in cursors.iter_mut().zip(&mut got).enumerate() {
                            let size = 1 + (n * 7 + reader_thread) % 13;
                            match poll(cursor, limit(size)) {
                                None => open += 1,
                                Some(Ok(None)) => {}
                                read => {
                                    open += 1;
                                    let read = batch(read);
                                    let mut out: Vec<Bytes> = Vec::new();
                                    log.encoded::<Counted>(&read, &mut out);
                                    got.push_str(std::str::from_utf8(&out.concat()).unwrap());
                                }
                            }
                        }
                    }
                    for text in got {
                        assert_eq!(text.matches(';').count(), 201);
                        let numbers = text.split(';').filter(|part| !part.is_empty());
                        let numbers =
                            numbers.map(|part| part.split(':').next().unwrap().parse::<u64>().unwrap());
                        assert!(numbers.eq(1..=201), "what is sent is dense and in order");
                    }
                });
            }
            start.wait();
            for n in 1..=200 {
                now(writer.append([event_of(n, n as usize)])).unwrap().unwrap();
            }
            let end = streamnest_core::payload::StatusUpdate::completed(1.into());
            now(writer.finish(end)).unwrap().unwrap();
        });
        assert_eq!(CALLS.load(Ordering::SeqCst) - before, 201);
        assert_eq!(writer.log().encodings(), 201);
    }
}

#[tokio::test]
async fn formats_do_not_share_bytes_and_each_is_counted_in_the_books() {
    let registry = registry(LogOptions::default());
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 10).await;
    let read = batch(poll(&mut writer.log().cursor(Start::Beginning), limit(100)));
    let before = registry.bytes();
    let (mut plain, mut loud) = (Vec::new(), Vec::new());
    writer.log().encoded::<Plain>(&read, &mut plain);
    writer.log().encoded::<Loud>(&read, &mut loud);
    writer.log().encoded::<Loud>(&read[3..5], &mut Vec::new());
    let (plain, loud) = (plain.concat(), loud.concat());
    assert_eq!(loud.len(), plain.len() + 10);
    assert_eq!(registry.bytes(), before + plain.len() + loud.len());
    assert_eq!(writer.log().encodings(), 20);
}

#[tokio::test]
async fn neighbours_that_were_encoded_together_are_sent_as_one_piece() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 30).await;
    let read = batch(poll(&mut writer.log().cursor(Start::Beginning), limit(100)));
    let text = |entries: &[Arc<Entry>]| -> String { entries.iter().map(|entry| plain(entry)).collect() };
    let pieces = |entries: &[Arc<Entry>]| -> Vec<String> {
        let mut out = Vec::new();
        writer.log().encoded::<Plain>(entries, &mut out);
        out.iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    };
    // Somebody asked for the middle first, then others for more.
    assert_eq!(pieces(&read[10..20]), [text(&read[10..20])]);
    assert_eq!(pieces(&read[12..14]), [text(&read[12..14])]);
    let parts = [text(&read[..10]), text(&read[10..20]), text(&read[20..])];
    assert_eq!(pieces(&read), parts, "each block is one piece, and the parts before and after are others");
    assert_eq!(pieces(&read[5..25]).concat(), text(&read[5..25]));
    // Entries that are not neighbours, as a filter leaves them.
    let some: Vec<_> = [1, 3, 4, 15, 16, 29].map(|n| read[n].clone()).into();
    assert_eq!(pieces(&some), [1..2, 3..5, 15..17, 29..30].map(|range| text(&read[range])));
    assert_eq!(pieces(&[]), [""; 0]);
}

/// The payload between two marks.
struct Marked;

impl WireFormat for Marked {
    const SLOT: usize = 0;
    const AFTER_PAYLOAD: Option<usize> = Some(1);
    fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(entry.event().payload());
        out.push(b'>');
    }
}

#[tokio::test]
async fn what_a_waiting_reader_will_ask_for_is_encoded_as_it_is_appended_around_the_one_payload() {
    let registry = registry(LogOptions::default());
    let writer = registry.create(&id("run")).await.unwrap();
    let log = writer.log();
    let mut cursor = log.cursor(Start::Beginning);
    let mut append_and_read = async |n| {
        assert!(poll(&mut cursor, limit(9)).is_none(), "the reader waits");
        writer.append([event_of(n, 50)]).await.unwrap();
        batch(poll(&mut cursor, limit(9)))
    };
    let first = append_and_read(1).await;
    assert!(first[0].encoded(0).is_none(), "nobody has asked for any format yet");
    log.encoded::<Marked>(&first, &mut Vec::new());

    let before = registry.bytes();
    let second = append_and_read(2).await;
    let encoded = second[0].encoded(0).expect("its reader asked for the entry before in this format").bytes();
    let payload = second[0].event().payload();
    assert_eq!(payload, event_of(2, 50).payload());
    assert_eq!(encoded, [b"<", payload, b">"].concat());
    assert_eq!(payload.as_ptr(), encoded[1..].as_ptr(), "both lie in one piece of memory");
    let mut out = Vec::new();
    log.encoded::<Marked>(&second, &mut out);
    assert_eq!((out.concat(), log.encodings()), (encoded.to_vec(), 2));

    drop(cursor);
    let with_reader = registry.bytes() - before;
    writer.append([event_of(3, 50)]).await.unwrap();
    let third = batch(poll(&mut log.observer(Start::After(log.position(seq(2)))), limit(9)));
    assert!(third[0].encoded(0).is_none(), "nobody waits, so nobody may ever ask");
    assert_eq!(
        registry.bytes() - before,
        2 * with_reader - encoded.len(),
        "encodings are in the books at once"
    );
}

/// Writes much more than anybody expects, and nothing for every third entry.
struct Uneven;

impl WireFormat for Uneven {
    const SLOT: usize = 1;
    fn encode(_: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        let n = entry.seq().get();
        if !n.is_multiple_of(3) {
            out.extend(std::iter::repeat_n(b'a' + (n % 26) as u8, 20_000));
        }
    }
}

#[tokio::test]
async fn large_and_empty_encodings_come_out_whole() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 20).await;
    let read = batch(poll(&mut writer.log().cursor(Start::Beginning), limit(100)));
    for range in [4..9, 0..20, 2..3, 7..20] {
        let mut expected = Vec::new();
        for entry in &read[range.clone()] {
            Uneven::encode(writer.log().identity(), entry, &mut expected);
        }
        let mut out = Vec::new();
        writer.log().encoded::<Uneven>(&read[range], &mut out);
        assert_eq!(out.concat(), expected);
    }
    assert_eq!(writer.log().encodings(), 20);
}

#[tokio::test]
async fn encodings_of_entries_read_back_do_not_fill_the_books() {
    let store = Arc::new(SlowStore::default());
    let options = LogOptions::default().with_hot_entries(1);
    let registry = streamnest_log::Registry::new(store.clone(), SetClock::new(), options);
    let writer = registry.create(&id("run")).await.unwrap();
    writer.append((1..=10).map(|n| event_of(n, 10))).await.unwrap();
    store.settle(&id("run"), 10);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let mut cursor = writer.log().cursor(Start::Beginning);
        let mut read = Vec::new();
        while read.len() < 10 {
            if let Some(found) = poll(&mut cursor, limit(100)) {
                read.extend(batch(Some(found)));
            }
        }
        writer.log().encoded::<Plain>(&read, &mut Vec::new());
        sizes.push(registry.bytes());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
}

//! A real process on real files that is killed, and one whose system calls are traced.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use streamnest_core::{Epoch, StoreError};
use streamnest_log::SystemClock;
use streamnest_log_disk::{DiskOptions, DiskStore};

use crate::support::{Probe, Random, chaos, seq, wait};

/// The program `append` of the examples, which cargo builds together with the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/append");
    assert!(
        path.exists(),
        "{} is missing; build with `cargo build -p streamnest-log-disk --examples`",
        path.display()
    );
    path
}

fn start(directory: &Path, producers: u64, executions: u64) -> Child {
    let numbers = [producers, executions, 0].map(|number| number.to_string());
    Command::new(program()).arg(directory).args(numbers).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a reader that comes back after each crash has seen.
#[derive(Default)]
struct Reader {
    epoch: Option<Epoch>,
    last: u64,
}

#[derive(Default, Debug)]
struct Figures {
    acked: u64,
    lost: u64,
    doubled: u64,
    reordered: u64,
    silent_gaps: u64,
}

/// Reads on in one execution, and counts what is not as it should be.
fn read_on(store: &DiskStore, number: u64, acked: u64, reader: &mut Reader, figures: &mut Figures) {
    let log = match Probe::open(store, &format!("run{number}")) {
        Ok(log) => log,
        Err(StoreError::NotFound { .. }) => {
            figures.lost += acked;
            return;
        }
        Err(error) => panic!("run{number} cannot be opened: {error}"),
    };
    let head = log.log.head();
    figures.lost += acked.saturating_sub(head.last.get());
    // A position that was handed out stays good: in this mode the epoch never changes.
    let epoch = *reader.epoch.get_or_insert(head.epoch);
    figures.silent_gaps += u64::from(epoch != head.epoch || head.last.get() < reader.last);
    loop {
        let read = wait(log.log.read(seq(reader.last + 1), 500, 1 << 20)).unwrap();
        if read.is_empty() {
            return;
        }
        for entry in read {
            let got = entry.seq().get();
            match got.cmp(&(reader.last + 1)) {
                std::cmp::Ordering::Less => figures.doubled += 1,
                std::cmp::Ordering::Greater => figures.silent_gaps += 1,
                std::cmp::Ordering::Equal => {}
            }
            let data = entry.event().as_data().unwrap().unwrap();
            let begins = format!("{number}:{got}:");
            figures.reordered += u64::from(!data.as_str().unwrap().starts_with(&begins));
            reader.last = got;
        }
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn what_was_acknowledged_survives_kill_9_under_load() {
    let (rounds, producers, executions) = if chaos() { (100, 8, 50) } else { (6, 8, 50) };
    let mut random = Random::from_seed(9);
    let directory = tempfile::tempdir().unwrap();
    let mut readers: BTreeMap<u64, Reader> = BTreeMap::new();
    let mut acked: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut figures, mut restarts) = (Figures::default(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let mut child = start(directory.path(), producers, executions);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        restarts.push(began.elapsed());
        let reading = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        thread::sleep(Duration::from_millis(50 + random.below(250)));
        // SIGKILL.
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reading.join().unwrap() {
            // The last line may be torn.
            let words: Vec<&str> = line.split(' ').collect();
            if let ["ack", number, last] = words[..]
                && let (Ok(number), Ok(last)) = (number.parse(), last.parse::<u64>())
            {
                let before = acked.entry(number).or_default();
                *before = last.max(*before);
            }
        }
        // On odd rounds nobody looks between two crashes.
        if random.below(2) == 0 {
            let store =
                DiskStore::open(directory.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
            assert!(store.recovery().damages.is_empty(), "{:?}", store.recovery());
            for (number, last) in &acked {
                read_on(&store, *number, *last, readers.entry(*number).or_default(), &mut figures);
            }
        }
    }
    let store = DiskStore::open(directory.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
    for (number, last) in &acked {
        read_on(&store, *number, *last, readers.entry(*number).or_default(), &mut figures);
    }
    assert!(store.verify().unwrap().is_empty());
    figures.acked = acked.values().sum();
    let Figures { acked, lost, doubled, reordered, silent_gaps } = figures;
    println!(
        "kill -9: rounds={rounds} acked={acked} lost={lost} doubled={doubled} reordered={reordered} silent_gaps={silent_gaps}"
    );
    println!(
        "kill -9: rounds={rounds} restart_to_first_byte_p50_ms={:.1}",
        median(&mut restarts).as_secs_f64() * 1e3
    );
    assert!(acked > rounds, "something is acknowledged");
    assert_eq!((lost, doubled, reordered, silent_gaps), (0, 0, 0, 0));
}

#[test]
fn a_restart_does_not_read_what_is_old() {
    let bytes: u64 = if chaos() { 1 << 30 } else { 64 << 20 };
    let directory = tempfile::tempdir().unwrap();
    {
        let store = DiskStore::open(directory.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
        let logs: Vec<_> = (0..50).map(|n| Probe::create(&store, &format!("old{n}")).unwrap()).collect();
        'fill: loop {
            for log in &logs {
                log.durable(log.append(200, 1_000).unwrap()).unwrap();
                if store.bytes() > bytes {
                    break 'fill;
                }
            }
        }
    }
    // A kill with some load on top, so that the next start has something to recover.
    let mut restarts = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        let mut child = start(directory.path(), 2, 4);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        restarts.push(began.elapsed());
        for _ in 0..20 {
            lines.next().unwrap().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = DiskStore::open(directory.path(), Arc::new(SystemClock), DiskOptions::default()).unwrap();
    let report = store.recovery();
    println!(
        "restart: log_bytes={} segments={} scanned={} restart_to_first_byte_p50_ms={:.1}",
        store.bytes(),
        report.segments,
        report.scanned,
        median(&mut restarts).as_secs_f64() * 1e3
    );
    assert_eq!(report.scanned, 1, "only the segment that grew last is read whole, of {}", report.segments);
    let old = Probe::open(&store, "old7").unwrap();
    assert!(wait(old.log.read(seq(1), 1, 1)).unwrap().len() == 1);
}

/// In a trace of a program with one producer: appends whose acknowledgement was written before a sync that had begun after
/// their write had ended, of how many.
fn acks_before_sync(trace: &str) -> (u64, u64) {
    let (mut early, mut acks) = (0, 0);
    // Whether what was written last is written to its end, and synced since.
    let (mut is_synced, mut sync_is_fresh) = (true, false);
    let note = " 42, ";
    for line in trace.lines() {
        if line.contains("pwrite64(") && !line.contains(note) {
            (is_synced, sync_is_fresh) = (false, false);
        } else if line.contains("fdatasync(") {
            sync_is_fresh = true;
            is_synced |= line.contains("= 0");
        } else if line.contains("fdatasync resumed") && line.contains("= 0") {
            is_synced |= sync_is_fresh;
        } else if line.contains("write(1, \"ack ") {
            acks += 1;
            early += u64::from(!is_synced);
        }
    }
    (early, acks)
}

#[test]
fn a_trace_of_system_calls_that_acknowledges_too_early_is_caught() {
    let good = "7 pwrite64(5, \"\"..., 120, 32) = 120\n7 fdatasync(5 <unfinished ...>\n7 <... fdatasync resumed>) = 0\n8 write(1, \"ack 0 1\\n\", 8) = 8";
    assert_eq!(acks_before_sync(good), (0, 1));
    let early =
        "7 pwrite64(5, \"\"..., 120, 32) = 120\n8 write(1, \"ack 0 1\\n\", 8) = 8\n7 fdatasync(5) = 0";
    assert_eq!(acks_before_sync(early), (1, 1));
    let failed =
        "7 pwrite64(5, \"\"..., 120, 32) = 120\n7 fdatasync(5) = -1 EIO\n8 write(1, \"ack 0 1\\n\", 8) = 8";
    assert_eq!(acks_before_sync(failed), (1, 1));
}

/// Runs the program under `strace`, with these of its options; what it said, and the trace.
#[cfg(target_os = "linux")]
fn traced(appends: u64, options: &[&str]) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let output = Command::new("strace")
        .args(["-f", "-s", "16", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(&trace)
        .args(options)
        .arg(program())
        .arg(directory.path().join("store"))
        .args(["1", "1", &appends.to_string()])
        .output()
        .expect("strace is there; install with: apt-get install -y strace");
    (String::from_utf8_lossy(&output.stdout).into_owned(), fs::read_to_string(&trace).unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn no_append_is_acknowledged_before_its_sync_by_a_trace_of_system_calls() {
    let appends = if chaos() { 10_000 } else { 500 };
    let (said, trace) = traced(appends, &[]);
    let (early, acks) = acks_before_sync(&trace);
    println!("system calls: acks_before_sync={early} of={acks}");
    assert_eq!(said.matches("ack ").count() as u64, appends);
    assert_eq!((early, acks), (0, appends));
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_acknowledged_after_a_sync_that_the_system_failed() {
    // The first syncs make the store; the hundredth fails, and those after it would not.
    let (said, trace) = traced(1_000, &["-e", "inject=fdatasync:error=EIO:when=100"]);
    let after = trace.split_once("EIO").expect("a sync has failed").1;
    let acked_after = after.matches("write(1, \"ack ").count();
    println!(
        "failed sync: acknowledged_before={} acknowledged_after={acked_after}",
        said.matches("ack ").count()
    );
    assert!(said.contains("ack "), "some were acknowledged before");
    assert_eq!(acked_after, 0);
}

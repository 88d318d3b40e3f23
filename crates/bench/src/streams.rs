//! `streams`: any servers of the Durable Streams protocol, turn by turn, by the same requests.
//!
//! Measured are acknowledged appends, reading what is there, and how long an append takes to a reader who waits. Threads that
//! block and one keep-alive connection each: a client costs the same beside every server. Not measured: TLS, and what a
//! server does when its disk is slower than this one.

mod client;

use std::{
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use self::client::Client;
use crate::{arguments::StreamOptions, error::Error, spread::Spread};

/// How many append at once.
const PRODUCERS: [usize; 3] = [1, 8, 64];
/// One append of the stream of large ones, in bytes.
const LARGE_APPEND: usize = 1 << 20;
/// How often a stream is read. The first read is told apart, for which no server has anything ready but what it keeps of what was
/// appended last; of all of them the best counts, for what disturbs a read only makes it slower.
const READS: usize = 3;
/// The pause between two appends whose way to a reader is measured.
const PAUSE: Duration = Duration::from_millis(5);

/// One figure of one server: its name, and how many decimals of it are shown.
struct Figure {
    name: String,
    decimals: usize,
    value: f64,
}

/// Measures all servers in each round, and prints a table.
pub(crate) fn run(options: &StreamOptions) -> Result<(), Error> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let servers = options.url.iter().map(|url| measure(url, options));
        rounds.push(servers.collect::<Result<Vec<_>, _>>()?);
    }
    writeln!(std::io::stdout(), "{}", table(&options.url, &rounds)).map_err(Error::Output)
}

/// The figures of one server in one round.
fn measure(url: &str, options: &StreamOptions) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    let mut add = |name: String, decimals, value| figures.push(Figure { name, decimals, value });
    for producers in PRODUCERS {
        let rate = appends(url, options, producers)?;
        add(format!("acknowledged appends per second, producers: {producers}"), 0, rate);
    }
    for (count, size) in [(options.megabytes, LARGE_APPEND), (options.small_appends, options.bytes)] {
        let [first, best] = catch_up(url, count, size)?;
        add(format!("first read, {count} appends of {size} B, MB/s"), 1, first);
        add(format!("catch-up, {count} appends of {size} B, MB/s"), 1, best);
    }
    let live = live(url, options)?;
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        add(
            format!("append to waiting reader, {name}, ms"),
            2,
            live.value_at_quantile(quantile) as f64 / 1e3,
        );
    }
    Ok(figures)
}

/// The figures as Markdown: by round, server and figure. The last column has the first server's median divided by the second's.
fn table(urls: &[String], rounds: &[Vec<Vec<Figure>>]) -> String {
    let Some(first) = rounds.first().and_then(|servers| servers.first()) else { return String::new() };
    let mut table = format!("| figure | {} | first ÷ second |\n|---|", urls.join(" | "));
    table.push_str(&"---:|".repeat(urls.len() + 1));
    for (index, figure) in first.iter().enumerate() {
        let spread = |server: usize| {
            let of_round = |servers: &Vec<Vec<Figure>>| Some(servers.get(server)?.get(index)?.value);
            Spread::of(rounds.iter().filter_map(of_round))
        };
        let spreads: Vec<Spread> = (0..urls.len()).filter_map(spread).collect();
        let shown: Vec<String> = spreads.iter().map(|spread| spread.show(figure.decimals)).collect();
        let ratio = match spreads.as_slice() {
            [one, other, ..] => format!("{:.2}", one.median / other.median),
            _ => String::new(),
        };
        table.push_str(&format!("\n| {} | {} | {ratio} |", figure.name, shown.join(" | ")));
    }
    table
}

/// A path that no earlier run has used.
fn path(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("/v1/stream/bench-{name}-{}", now.as_nanos())
}

/// Acknowledged appends per second of so many producers, each to a stream of its own.
fn appends(url: &str, options: &StreamOptions, producers: usize) -> Result<f64, Error> {
    let (stop, body) = (AtomicBool::new(false), vec![b'x'; options.bytes]);
    let mut clients = Vec::new();
    for producer in 0..producers {
        let (mut client, path) = (Client::connect(url)?, path(&format!("{producers}-{producer}")));
        client.ask("PUT", &path, b"")?;
        clients.push((client, path));
    }
    let began = Instant::now();
    let counts = thread::scope(|scope| {
        let append = |(mut client, path): (Client, String)| {
            let (stop, body) = (&stop, &body);
            scope.spawn(move || {
                let mut count = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    client.ask("POST", &path, body)?;
                    count += 1;
                }
                Ok(count)
            })
        };
        let threads: Vec<_> = clients.into_iter().map(append).collect();
        thread::sleep(Duration::from_secs(options.seconds));
        stop.store(true, Ordering::Relaxed);
        let joined = threads.into_iter().map(|thread| thread.join().expect("a producer does not panic"));
        joined.collect::<Result<Vec<u64>, Error>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64())
}

/// Megabytes per second of one reader that reads a whole stream of so many appends of so many bytes: the first time that it is read
/// at all, and the best time.
fn catch_up(url: &str, count: usize, size: usize) -> Result<[f64; 2], Error> {
    let (mut client, path) = (Client::connect(url)?, path("whole"));
    client.ask("PUT", &path, b"")?;
    let body = vec![b'x'; size];
    for _ in 0..count {
        client.ask("POST", &path, &body)?;
    }
    let mut times = Vec::new();
    for _ in 0..READS {
        let (began, mut offset, mut read) = (Instant::now(), "-1".to_owned(), 0);
        while read < count * size {
            let answer = client.ask("GET", &format!("{path}?offset={offset}"), b"")?;
            read += answer.body.len();
            offset = answer.header("stream-next-offset").unwrap_or_default().to_owned();
        }
        times.push(began.elapsed());
    }
    let rate = |time: Option<&Duration>| {
        (count * size) as f64 / 1e6 / time.copied().unwrap_or(Duration::MAX).as_secs_f64()
    };
    Ok([rate(times.first()), rate(times.iter().min())])
}

/// The time from before an append to when a reader that waits by long-poll has it, in microseconds.
fn live(url: &str, options: &StreamOptions) -> Result<Histogram<u64>, Error> {
    let (mut writer, mut reader, path) = (Client::connect(url)?, Client::connect(url)?, path("live"));
    let made = writer.ask("PUT", &path, b"")?;
    let mut offset = made.header("stream-next-offset").unwrap_or("-1").to_owned();
    let count = Duration::from_secs(options.seconds).as_micros() / PAUSE.as_micros();
    let mut times = Histogram::<u64>::new(3).expect("three digits are a legal precision");
    let (began, body) = (Instant::now(), vec![b'x'; options.bytes]);
    thread::scope(|scope| {
        let (sent, received) = std::sync::mpsc::sync_channel::<Duration>(1);
        let path = &path;
        let sending = scope.spawn(move || {
            for _ in 0..count {
                thread::sleep(PAUSE);
                if sent.send(began.elapsed()).is_err() {
                    break;
                }
                writer.ask("POST", path, &body)?;
            }
            Ok::<(), Error>(())
        });
        // One answer may bring several appends, if the reader was held up.
        let mut ahead = 0;
        for at in received {
            while ahead < options.bytes {
                let answer = reader.ask("GET", &format!("{path}?live=long-poll&offset={offset}"), b"")?;
                offset = answer.header("stream-next-offset").unwrap_or_default().to_owned();
                ahead += answer.body.len();
            }
            ahead -= options.bytes;
            times.saturating_record((began.elapsed() - at).as_micros() as u64);
        }
        sending.join().expect("a writer does not panic")
    })?;
    Ok(times)
}

#[cfg(test)]
mod tests;

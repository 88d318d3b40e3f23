//! `streams`: any servers of the Durable Streams protocol, one after the other, by the same requests.
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
use serde::Serialize;

use self::client::Client;
use crate::{arguments::StreamOptions, error::Error};

/// How many append at once.
const PRODUCERS: [usize; 3] = [1, 8, 64];
/// One append of the stream that is read, in bytes.
const LARGE_APPEND: usize = 1 << 20;
/// How often it is read; the best counts, for what disturbs a read only makes it slower.
const READS: usize = 3;
/// The pause between two appends whose way to a reader is measured.
const PAUSE: Duration = Duration::from_millis(5);

/// The figures of one server.
#[derive(Serialize)]
struct Figures<'a> {
    url: &'a str,
    /// Acknowledged appends per second, by the number of producers.
    appends_per_second: Vec<(usize, u64)>,
    catch_up_mb_per_second: u64,
    live_p50_us: u64,
    live_p99_us: u64,
}

/// Measures each server, and prints a line of JSON for it.
pub(crate) fn run(options: &StreamOptions) -> Result<(), Error> {
    for url in &options.url {
        let mut appends_per_second = Vec::new();
        for producers in PRODUCERS {
            appends_per_second.push((producers, appends(url, options, producers)?));
        }
        let catch_up_mb_per_second = catch_up(url, options.megabytes)?;
        let live = live(url, options)?;
        let figures = Figures {
            url,
            appends_per_second,
            catch_up_mb_per_second,
            live_p50_us: live.value_at_quantile(0.5),
            live_p99_us: live.value_at_quantile(0.99),
        };
        let line = serde_json::to_string(&figures).map_err(Error::Report)?;
        writeln!(std::io::stdout(), "{line}").map_err(Error::Output)?;
    }
    Ok(())
}

/// A path that no earlier run has used.
fn path(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("/v1/stream/bench-{name}-{}", now.as_nanos())
}

/// Acknowledged appends per second of so many producers, each to a stream of its own.
fn appends(url: &str, options: &StreamOptions, producers: usize) -> Result<u64, Error> {
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
    Ok((counts.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64()) as u64)
}

/// Megabytes per second of one reader that reads a whole stream.
fn catch_up(url: &str, megabytes: usize) -> Result<u64, Error> {
    let (mut client, path) = (Client::connect(url)?, path("large"));
    client.ask("PUT", &path, b"")?;
    let body = vec![b'x'; LARGE_APPEND];
    for _ in 0..megabytes {
        client.ask("POST", &path, &body)?;
    }
    let mut best = Duration::MAX;
    for _ in 0..READS {
        let (began, mut offset, mut read) = (Instant::now(), "-1".to_owned(), 0);
        while read < megabytes * LARGE_APPEND {
            let answer = client.ask("GET", &format!("{path}?offset={offset}"), b"")?;
            read += answer.body.len();
            offset = answer.header("stream-next-offset").unwrap_or_default().to_owned();
        }
        best = best.min(began.elapsed());
    }
    Ok(((megabytes * LARGE_APPEND) as f64 / 1e6 / best.as_secs_f64()) as u64)
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

//! `deflate`: what compressing WebSocket messages costs by connection (permessage-deflate, RFC 7692) and by block of the log.
//!
//! No server and no sockets: the same frames of tokens are compressed in each way in turn, on one thread. Measured are the bytes on
//! the wire, the time for each token of each client, and the resident memory that a connection keeps for it.

use std::{hint::black_box, io::Write as _, time::Instant};

use flate2::{Compress, Compression, Decompress, FlushCompress, Status};

use crate::{arguments::DeflateOptions, error::Error, process, spread::Spread};

/// Frames of one block, as the server has them.
const BLOCK: usize = 64;
/// Levels of compression: the fastest, and the one that the server has for blocks.
const LEVELS: [u32; 2] = [1, 3];
/// Sizes of the window, in bits. Deflate knows 8 to 15; zlib makes 9 of 8 for raw streams.
const WINDOWS: [u8; 3] = [9, 12, 15];
/// The clients among whom a shared message is divided.
const CLIENTS: f64 = 1_000.0;

/// One way of sending tokens.
struct Way {
    name: String,
    /// Bytes on the wire for each token.
    bytes: f64,
    /// Nanoseconds for each token of each client, by round.
    nanos: Vec<f64>,
    /// Resident bytes that each connection keeps.
    kept: f64,
}

/// Measures all ways and prints a table.
pub(crate) fn run(options: &DeflateOptions) -> Result<(), Error> {
    let frames: Vec<String> = (0..options.tokens).map(|number| frame(number as usize)).collect();
    let (bytes, nanos) = (mean(&frames), copied(&frames, options)?);
    let mut ways = vec![Way { name: "plain, a copy".into(), bytes, nanos, kept: 0.0 }];
    ways.extend(by_block(&frames, options)?);
    for level in LEVELS {
        for window in WINDOWS {
            ways.push(by_connection(&frames, options, level, window, true)?);
            ways.push(by_connection(&frames, options, level, window, false)?);
        }
    }
    let mut table = String::from(
        "| way | bytes a token | ns a token and client | ns of it, once for 1,000 clients | KiB a connection |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for Way { name, bytes, nanos, kept } in &ways {
        let show = |scale: f64, decimals| {
            let spread = Spread::of(nanos.iter().map(|nanos| nanos / scale));
            spread.map_or_else(String::new, |spread| spread.show(decimals))
        };
        let (each, shared) = (show(1.0, 0), show(CLIENTS, 2));
        table.push_str(&format!("| {name} | {bytes:.0} | {each} | {shared} | {:.1} |\n", kept / 1024.0));
    }
    let inflating = inflaters(options)? / 1024.0;
    writeln!(std::io::stdout(), "{table}\nto read what a client compresses: {inflating:.1} KiB a connection")
        .map_err(Error::Output)
}

/// A frame of one token, as the native protocol has it.
fn frame(number: usize) -> String {
    const WORDS: [&str; 12] = [
        "Rivers ", "are ", "old. ", "They ", "carry ", "sand ", "and ", "stories ", "down ", "to ", "the ",
        "sea, ",
    ];
    // What follows what is not the same each time, or compressing would be too easy.
    let word = WORDS.get((number * number + number / 7) % WORDS.len()).copied().unwrap_or_default();
    let (sequence, micros) = (number + 3, 49 + number * 20_173 % 1_000_000);
    let second = number / 50 % 60;
    format!(
        r#"{{"type":"token","executionId":"0199b2a4-7c11-7d3e-9f0a-1b2c3d4e5f60","nodeId":"generate_content","sequence":{sequence},"position":"1795238979000001_{sequence:016}","timestamp":"2026-11-21T05:29:{second:02}.{micros:06}Z","payload":{{"content":"{word}","index":{number},"count":1,"visit":1,"attempt":1,"message":"m1"}}}}"#
    )
}

fn mean(frames: &[String]) -> f64 {
    frames.iter().map(String::len).sum::<usize>() as f64 / frames.len() as f64
}

/// Times `work` over all frames, once for each round; nanoseconds for each token.
fn timed(options: &DeflateOptions, mut work: impl FnMut() -> Result<(), Error>) -> Result<Vec<f64>, Error> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let since = Instant::now();
        work()?;
        rounds.push(since.elapsed().as_nanos() as f64 / f64::from(options.tokens));
    }
    Ok(rounds)
}

/// What a copy of each frame costs: less than any way of sending it.
fn copied(frames: &[String], options: &DeflateOptions) -> Result<Vec<f64>, Error> {
    let mut out = Vec::with_capacity(1 << 10);
    timed(options, || {
        for frame in frames {
            out.clear();
            out.extend_from_slice(frame.as_bytes());
            black_box(&out);
        }
        Ok(())
    })
}

/// Blocks of frames, as `streamnest.v1.deflate` has them: nothing is kept for a connection.
fn by_block(frames: &[String], options: &DeflateOptions) -> Result<Vec<Way>, Error> {
    let mut ways = Vec::new();
    for level in LEVELS {
        let mut bytes = 0;
        let nanos = timed(options, || {
            bytes = 0;
            for block in frames.chunks(BLOCK) {
                let mut compress = Compress::new(Compression::new(level), false);
                bytes += compressed(&mut compress, block.join("\n").as_bytes(), FlushCompress::Finish)?;
            }
            Ok(())
        })?;
        let name = format!("blocks of {BLOCK}, level {level}");
        ways.push(Way { name, bytes: bytes as f64 / f64::from(options.tokens), nanos, kept: 0.0 });
    }
    Ok(ways)
}

/// Each frame as a message of its own. With `takeover` the window goes on from message to message and is the connection's own;
/// without it every message begins anew.
fn by_connection(
    frames: &[String],
    options: &DeflateOptions,
    level: u32,
    window: u8,
    takeover: bool,
) -> Result<Way, Error> {
    let make = || Compress::new_with_window_bits(Compression::new(level), false, window);
    let mut compress = make();
    let mut bytes = 0;
    let nanos = timed(options, || {
        bytes = 0;
        compress.reset();
        for frame in frames {
            if !takeover {
                compress.reset();
            }
            // RFC 7692 §7.2.1: flushed, and without the four bytes that every flush ends with.
            bytes += compressed(&mut compress, frame.as_bytes(), FlushCompress::Sync)?.saturating_sub(4);
        }
        Ok(())
    })?;
    let kept = match takeover {
        true => kept(options, || {
            let mut compress = make();
            for frame in frames.iter().take(BLOCK) {
                compressed(&mut compress, frame.as_bytes(), FlushCompress::Sync)?;
            }
            Ok(compress)
        })?,
        false => 0.0,
    };
    let how = if takeover { "context takeover" } else { "no context takeover" };
    let name = format!("each message, {how}, window {window} bits, level {level}");
    Ok(Way { name, bytes: bytes as f64 / f64::from(options.tokens), nanos, kept })
}

/// Compresses `input` and gives how long that is.
fn compressed(compress: &mut Compress, input: &[u8], flush: FlushCompress) -> Result<usize, Error> {
    let mut out = Vec::with_capacity(input.len() + 64);
    let before = compress.total_in();
    let status = compress.compress_vec(input, &mut out, flush).map_err(Error::Deflate)?;
    let all_read = compress.total_in() - before == input.len() as u64;
    if !all_read || (flush == FlushCompress::Finish && status != Status::StreamEnd) {
        return Err(Error::Usage("a frame grew when it was compressed"));
    }
    Ok(black_box(out).len())
}

/// What each of many connections keeps, in resident bytes.
fn kept<T>(options: &DeflateOptions, make: impl Fn() -> Result<T, Error>) -> Result<f64, Error> {
    let before = process::memory(std::process::id())?.rss;
    let all = (0..options.connections).map(|_| make()).collect::<Result<Vec<_>, _>>()?;
    let after = process::memory(std::process::id())?.rss;
    drop(black_box(all));
    Ok(after.saturating_sub(before) as f64 / f64::from(options.connections))
}

/// What it takes to read the messages of clients that compress with a whole window.
fn inflaters(options: &DeflateOptions) -> Result<f64, Error> {
    let text = frame(1);
    let mut message = Vec::with_capacity(1 << 10);
    let mut compress = Compress::new(Compression::new(1), false);
    compress.compress_vec(text.as_bytes(), &mut message, FlushCompress::Sync).map_err(Error::Deflate)?;
    kept(options, || {
        let mut decompress = Decompress::new(false);
        let mut out = Vec::with_capacity(1 << 10);
        decompress
            .decompress_vec(&message, &mut out, flate2::FlushDecompress::Sync)
            .map_err(|_| Error::Usage("what was compressed cannot be read"))?;
        Ok(decompress)
    })
}

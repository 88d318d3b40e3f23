use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::*;

type Streams = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// Answers one connection: bytes by path, an offset is how many are before it.
fn serve(stream: TcpStream, streams: &Streams) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (method, target) = (head.split(' ').next()?, head.split(' ').nth(1)?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let offset: usize = query.rsplit("offset=").next()?.parse().unwrap_or(0);
        let found = loop {
            let mut streams = streams.lock().unwrap();
            let kept = streams.entry(path.to_owned()).or_default();
            kept.extend_from_slice(&body);
            body.clear();
            if method != "GET" || kept.len() > offset {
                break (kept.get(offset..).unwrap_or_default().to_vec(), kept.len());
            }
            drop(streams);
            thread::sleep(Duration::from_micros(100));
        };
        let (body, next) = if method == "GET" { found } else { (Vec::new(), found.1) };
        // Whoever is asked in pieces answers in pieces, as servers may.
        let head =
            format!("HTTP/1.1 200 OK\r\nstream-next-offset: {next}\r\ntransfer-encoding: chunked\r\n\r\n");
        let mut answer = head.into_bytes();
        for piece in body.chunks(100_000) {
            answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            answer.extend_from_slice(piece);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        reader.get_mut().write_all(&answer).ok()?;
    }
}

/// A server of streams in memory, and what it keeps.
fn server() -> (String, Streams) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let streams = Streams::default();
    let kept = streams.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = kept.clone();
            thread::spawn(move || serve(stream, &kept));
        }
    });
    (url, streams)
}

fn options(url: &str) -> StreamOptions {
    StreamOptions { url: vec![url.into()], rounds: 1, seconds: 1, bytes: 50, megabytes: 2, small_appends: 20 }
}

#[test]
fn every_append_that_is_counted_is_kept() {
    let (url, streams) = server();
    let began = Instant::now();
    let rate = appends(&url, &options(&url), 3).unwrap();
    let kept: usize = streams.lock().unwrap().values().map(|bytes| bytes.len() / 50).sum();
    assert_eq!(streams.lock().unwrap().len(), 3);
    assert!(rate > 0.0 && rate <= kept as f64, "{rate} a second of {kept} in {:?}", began.elapsed());
}

#[test]
fn a_whole_stream_is_read_and_what_is_sent_is_received() {
    let (url, _) = server();
    let [first, best] = catch_up(&url, 2, 1 << 20).unwrap();
    assert!(0.0 < first && first <= best, "{first} MB/s at first, {best} at best");
    let times = live(&url, &options(&url)).unwrap();
    assert_eq!(times.len(), 200, "one time for each append");
}

#[test]
fn a_server_that_refuses_is_told_with_what_it_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 16];
        stream.read_exact(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 429 Too Many\r\ncontent-length: 4\r\n\r\nfull").unwrap();
    });
    let refused = appends(&url, &options(&url), 1).unwrap_err().to_string();
    assert!(refused.contains("429") && refused.contains("full"), "{refused}");
}

#[test]
fn a_table_has_the_spread_of_each_server_and_the_ratio_of_the_first_to_the_second() {
    let figures = |value| vec![Figure { name: "appends".into(), decimals: 0, value }];
    let rounds =
        [(10.0, 4.0), (30.0, 5.0), (20.0, 6.0)].map(|(one, other)| vec![figures(one), figures(other)]);
    let shown = table(&["http://one".into(), "http://other".into()], &rounds);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "| figure | http://one | http://other | first ÷ second |");
    assert_eq!(lines[2..], ["| appends | 20 (10–30) | 5 (4–6) | 4.00 |"]);
    assert!(!table(&["http://one".into()], &[vec![figures(1.0)]]).contains("NaN"));
}

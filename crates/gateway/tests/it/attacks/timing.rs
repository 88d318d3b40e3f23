//! Guessing ids: what somebody may not see is answered as what does not exist, word by word and as fast.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::watch::Watch;
use crate::{
    engine::{id, say},
    server::Answer,
    token::{bearer, token_with},
};

/// How often each of the two is asked for.
const PROBES: usize = 400;
/// How far the share of pairs in which the one was slower than the other may lie from a half. Of two times that are distributed alike
/// it lies within 0.02 of it mostly, and beyond this once in ten million; load on the machine slows down both.
const BOUND: f64 = 0.11;
/// Ids of one length: a run of somebody else, and no run at all.
const HIDDEN: &str = "run-of-ada";
const ABSENT: &str = "run-of-nil";

/// Asks over one connection, one request after the other.
struct Prober {
    stream: TcpStream,
    authorization: String,
}

impl Prober {
    async fn new(watch: &Watch, authorization: &str) -> Self {
        let stream = TcpStream::connect(watch.server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, authorization: authorization.into() }
    }

    async fn ask(&mut self, (method, path, body): &(&str, String, String)) -> (Answer, Duration) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        let asked = Instant::now();
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let (mut bytes, mut whole) = (Vec::new(), None);
        while whole.is_none_or(|whole| bytes.len() < whole) {
            assert!(self.stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection stays");
            if whole.is_none()
                && let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                whole = Some(end + 4 + length.expect("the answer says its length"));
            }
        }
        (Answer::parse(&bytes), asked.elapsed())
    }

    /// Asks for both in turn; the share of pairs of times in which the first was slower, and the median of all.
    async fn compare(&mut self, requests: &[(&str, String, String); 2]) -> (f64, Duration) {
        let mut times = [Vec::new(), Vec::new()];
        for probe in 0..PROBES {
            let first = coin(probe as u64);
            for turn in [first, 1 - first] {
                times[turn].push(self.ask(&requests[turn]).await.1);
            }
        }
        let [first, second] = &times;
        let slower: f64 = first
            .iter()
            .flat_map(|one| second.iter().map(move |other| one.cmp(other)))
            .map(|order| match order {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
            .sum();
        let mut all = times.concat();
        all.sort_unstable();
        (slower / (PROBES * PROBES) as f64, all[PROBES])
    }
}

/// Which of the two is asked for first: either as often, and in no rhythm that what else the machine does could keep (SplitMix64).
const fn coin(probe: u64) -> usize {
    let mut mixed = probe.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 63) as usize
}

/// What an answer says, but when, and of which id.
fn words(answer: &Answer, id: &str) -> String {
    let head: Vec<_> = answer.head.lines().filter(|line| !line.starts_with("date:")).collect();
    format!("{}\n{}", head.join("\n"), answer.body).replace(id, "ID")
}

pub(crate) async fn run(watch: &mut Watch) {
    // Of one tenant, where only patterns keep the two apart, and of another tenant.
    let ada = bearer(&token_with("ada", json!({"tenant": "acme"})));
    let start = json!({"input": {}, "executionId": HIDDEN}).to_string();
    let json_type = ("content-type", "application/json");
    let headers = [("authorization", &*ada), json_type];
    let started = watch.server.ask("POST", "/workflows/held/executions", &headers, &start).await;
    assert_eq!(started.status, 202, "{started:?}");
    let colleague = bearer(&token_with("eve", json!({"tenant": "acme", "executions": "eve-*"})));
    let stranger = bearer(&token_with("zoe", json!({})));
    let mut slowest = 0.5_f64;
    for (who, authorization) in [("a colleague", &colleague), ("a stranger", &stranger)] {
        let mut prober = Prober::new(watch, authorization).await;
        for (way, method, before, after, body) in [
            ("how it stands", "GET", "/executions/", "", ""),
            ("its events", "GET", "/executions/", "/events", ""),
            ("its stream", "GET", "/v1/stream/executions/", "", ""),
            ("stopping it", "POST", "/executions/", "/cancel", "{}"),
        ] {
            let requests =
                [HIDDEN, ABSENT].map(|id| (method, format!("{before}{id}{after}"), body.to_owned()));
            let [hidden, absent] = [prober.ask(&requests[0]).await.0, prober.ask(&requests[1]).await.0];
            let name = |what| format!("{who} asks for {way}: {what}");
            watch.took(name("status"), 404, hidden.status).await;
            let alike = words(&hidden, HIDDEN) == words(&absent, ABSENT);
            watch.took(name("words"), true, alike).await;
            let (share, median) = prober.compare(&requests).await;
            println!(
                "timing {who}, {way}: probes={} slower_share={share:.3} median_us={}",
                2 * PROBES,
                median.as_micros()
            );
            watch.took(name("time"), true, (share - 0.5).abs() <= BOUND).await;
            if (share - 0.5).abs() > (slowest - 0.5).abs() {
                slowest = share;
            }
        }
    }
    // What is worth seeing takes longer, and this would show it: so much longer that no load hides it.
    let own = id("eve-own").within(&streamnest_core::Tenant::new("acme").unwrap());
    let start = json!({"input": {}, "executionId": "eve-own"}).to_string();
    let headers = [("authorization", &*colleague), json_type];
    watch.server.ask("POST", "/workflows/held/executions", &headers, &start).await;
    say(&watch.server.logs.writer(&own).unwrap(), 0, 3_000).await;
    let requests =
        ["eve-own", "eve-nil"].map(|id| ("GET", format!("/v1/stream/executions/{id}"), String::new()));
    let (share, _) = Prober::new(watch, &colleague).await.compare(&requests).await;
    println!(
        "timing_probes={PROBES} farthest_slower_share={slowest:.3} bound={BOUND} of_what_may_be_seen={share:.3}"
    );
    watch.took("the time of what may be seen tells that it is there", true, share > 0.5 + BOUND).await;
}

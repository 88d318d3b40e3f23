//! A disk that has changed what was written: whoever reads it is told, and nobody else.

use std::{fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use streamnest::{
    Streamnest,
    core::StartExecution,
    log::SystemClock,
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_client::{Client, GapReason, Item};
use streamnest_tests::{
    follower::{Follower, Http},
    http::{self, EventStream},
    server::Server,
    workflows::Steps,
};

async fn server(directory: &Path) -> Server {
    let options = DiskOptions::default().with_reserve_bytes(0);
    let store = Arc::new(DiskStore::open(directory, Arc::new(SystemClock), options).unwrap());
    Server::start(Streamnest::builder().workflow(Steps::default()).store(store)).await
}

/// Runs two executions to their end, and flips one bit of a token of the first in its segment.
async fn flip(directory: &Path) -> [Vec<String>; 2] {
    let server = server(directory).await;
    let mut written = [Vec::new(), Vec::new()];
    for (id, frames) in ["bad", "good"].into_iter().zip(&mut written) {
        let request = StartExecution {
            workflow: "steps".into(),
            input: json!({"tokens": 60}),
            execution_id: Some(id.parse().unwrap()),
            on_disconnect: None,
            trace: None,
        };
        server.app.start_with(request).await.unwrap().result().await.unwrap();
        *frames = Follower::Events.follow(server.address, id).await;
    }
    server.stop().await;
    flip_in_segment(directory, b"\"t30 \"");
    written
}

/// Flips one bit of what stands in a segment.
fn flip_in_segment(directory: &Path, text: &[u8]) {
    let flipped = fs::read_dir(directory).unwrap().any(|file| {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap_or_default();
        let found = bytes.windows(text.len()).position(|window| window == text);
        let Some(at) = found.filter(|_| path.extension().is_some_and(|kind| kind == "log")) else {
            return false;
        };
        bytes[at + 2] ^= 1;
        fs::write(&path, bytes).unwrap();
        true
    });
    assert!(flipped, "it stands in a segment as it was written");
}

/// The range that a gap names.
fn range(gap: &Value) -> (usize, usize) {
    assert_eq!((&gap["type"], &gap["payload"]["reason"]), (&json!("gap"), &json!("damaged")), "{gap}");
    let bound = |name: &str| gap["payload"][name].as_u64().unwrap() as usize;
    (bound("from"), bound("to"))
}

#[tokio::test]
async fn readers_of_a_damaged_execution_are_told_damaged_and_no_others_are() {
    let directory = tempfile::tempdir().unwrap();
    let [bad, good] = flip(directory.path()).await;
    let server = server(directory.path()).await;

    let mut events = EventStream::open(server.address, "bad", None).await.unwrap();
    let (mut got, mut told) = (Vec::new(), Vec::new());
    while let Some((_, frame)) = events.next().await {
        if frame["type"] == "gap" {
            assert_eq!(got.len() + 1, range(&frame).0, "it is told where it lies");
            told.push(range(&frame));
        } else {
            got.push(frame);
        }
    }
    let [(from, to)] = told[..] else { panic!("one record is damaged: {told:?}") };
    let is_flipped = |frame: &String| frame.contains("\"t30 \"");
    assert!((from..=to).contains(&(1 + bad.iter().position(is_flipped).unwrap())), "{from} to {to}");
    let parsed = |frames: &[String]| -> Vec<Value> {
        frames.iter().map(|frame| serde_json::from_str(frame).unwrap()).collect()
    };
    let rest = parsed(&[&bad[..from - 1], &bad[to..]].concat());
    assert_eq!(got, rest, "everything else is served as it was written");

    let client = Client::new(&format!("http://{}", server.address)).unwrap();
    let mut subscription = client.subscribe("bad".parse().unwrap()).connect().await.unwrap();
    let (mut entries, mut gaps) = (0, Vec::new());
    while let Some(item) = subscription.next().await {
        match item.unwrap() {
            Item::Entry(_) => entries += 1,
            Item::Gap(gap) => gaps.push((gap.reason, gap.from.get() as usize, gap.to.get() as usize)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((entries, gaps), (rest.len(), vec![(GapReason::Damaged, from, to)]));

    // Over Durable Streams: what lies before it, then a refusal that says where to read on, then the rest.
    let (mut http, mut offset, mut read) = (Http::new(server.address), String::from("-1"), Vec::new());
    let mut refusals = 0;
    loop {
        let path = format!("/v1/stream/executions/bad?offset={offset}");
        let answer = http.get(&path, &[]).await.unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        offset = header("stream-next-offset").unwrap();
        let (status, closed) = (answer.status(), header("stream-closed").is_some());
        http.leave();
        let (_, body) = http::json(server.address, "GET", &path, &[], None).await;
        if status == 410 {
            assert_eq!(body["error"]["code"], "damaged");
            // Whoever waits for more is told before a stream begins.
            for live in ["long-poll", "sse"] {
                let refused = http.get(&format!("{path}&live={live}"), &[]).await.unwrap();
                assert_eq!(refused.status(), 410, "{live}");
                http.leave();
            }
            assert_eq!(offset.split_once('_').unwrap().1.parse::<usize>().unwrap(), to);
            refusals += 1;
            continue;
        }
        read.extend(body.as_array().unwrap().iter().cloned());
        if closed {
            break;
        }
    }
    assert_eq!((refusals, read), (1, rest));

    for follower in Follower::ALL.into_iter().skip(1) {
        assert_eq!(follower.follow(server.address, "good").await, good, "{follower:?} of another execution");
    }
}

#[tokio::test]
async fn a_stream_whose_first_append_is_damaged_keeps_all_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["/v1/stream/doc", "/v1/stream/executions/job"];
    let token = |n: usize| json!([{"type": "token", "nodeId": "write", "payload": {"content": format!("part-{n} ")}}]);
    {
        let server = server(directory.path()).await;
        let mut http = Http::new(server.address);
        let json_type = [("content-type", "application/json")];
        for path in paths {
            for n in 0..4 {
                let (method, status) = if n == 0 { ("PUT", 201) } else { ("POST", 204) };
                let answer = http.send(method, path, &json_type, token(n).to_string()).await.unwrap();
                assert_eq!(answer.status(), status, "{path} {n}");
                http.leave();
            }
        }
        server.stop().await;
    }
    // The second is written anew at each time: the first one is the stream's, and then the execution's.
    for (at, path) in paths.into_iter().enumerate() {
        flip_in_segment(directory.path(), b"part-0 ");
        let server = server(directory.path()).await;
        let mut http = Http::new(server.address);
        let refused = http.get(&format!("{path}?offset=-1"), &[]).await.unwrap();
        assert_eq!(refused.status(), 410, "{path}");
        let next = refused.headers()["stream-next-offset"].to_str().unwrap().to_owned();
        http.leave();
        let (status, rest) =
            http::json(server.address, "GET", &format!("{path}?offset={next}"), &[], None).await;
        assert_eq!(status, 200);
        let contents: Vec<&Value> =
            rest.as_array().unwrap().iter().map(|entry| &entry["payload"]["content"]).collect();
        assert_eq!(contents, ["part-1 ", "part-2 ", "part-3 "], "{path}");
        let other = http.get(&format!("{}?offset=-1", paths[1]), &[]).await.unwrap();
        assert_eq!(other.status(), if at == 0 { 200 } else { 410 }, "readers of the other one are not told");
        server.stop().await;
    }
}

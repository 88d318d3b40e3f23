//! Producers whose requests and answers are cut.

use serde_json::{Value, json};
use streamnest::Streamnest;
use streamnest_tests::{
    follower::{Follower, Http},
    proxy::{Fault, Proxy, Way},
    server::Server,
    workflows::Steps,
};

use super::Figures;

/// What one append consists of: it stands as a whole or not at all.
fn body(seq: u64) -> String {
    let token =
        |part| json!({"type": "token", "nodeId": "write", "payload": {"content": format!("{seq}.{part} ")}});
    json!([token(0), token(1)]).to_string()
}

/// Appends once, as a producer that asks again until it is answered. How often it was told that it was there already.
async fn append(http: &mut Http, path: &str, seq: u64) -> usize {
    let number = seq.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("producer-id", "worker"),
        ("producer-epoch", "0"),
        ("producer-seq", number.as_str()),
    ];
    loop {
        if let Some(answer) = http.send("POST", path, &headers, body(seq)).await {
            match answer.status().as_u16() {
                200 => return 0,
                204 => return 1,
                status => panic!("append {seq} got {status}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_cut_after_any_byte_and_sent_again_stands_once() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let path = "/v1/stream/executions/outside";
    let mut direct = Http::new(server.address);
    let json_type = [("content-type", "application/json")];
    assert_eq!(direct.send("PUT", path, &json_type, String::new()).await.unwrap().status(), 201);
    let mut seq = 0;
    let clean = Proxy::start(server.address).await;
    append(&mut Http::new(clean.address), path, seq).await;
    let (up, down) = clean.passed();
    let proxy = Proxy::start(server.address).await;
    let mut again = 0;
    for (length, cut) in [(up, Way::up as fn(u64, Fault) -> Way), (down, Way::down)] {
        for byte in 0..=length {
            seq += 1;
            proxy.next(cut(byte, Fault::Cut));
            let mut http = Http::new(proxy.address);
            again += append(&mut http, path, seq).await;
        }
    }
    let close = [("stream-closed", "true")];
    assert_eq!(direct.send("POST", path, &close, String::new()).await.unwrap().status(), 204);
    let got = Follower::Events.follow(server.address, "outside").await;
    let contents: Vec<String> = got
        .iter()
        .filter_map(|frame| {
            let frame: Value = serde_json::from_str(frame).unwrap();
            frame["payload"]["content"].as_str().map(String::from)
        })
        .collect();
    let wanted: Vec<String> = (0..=seq).flat_map(|seq| [0, 1].map(|part| format!("{seq}.{part} "))).collect();
    let figures = Figures::of(&contents, &wanted, proxy.faults());
    println!("appends={} told_again={again} {figures}", seq + 1);
    assert!(contents == wanted, "{contents:?}");
    assert!(again > 0, "answers were lost, and the producer asked for what it had");
    assert!(proxy.faults() as u64 >= up + down - 2);
}

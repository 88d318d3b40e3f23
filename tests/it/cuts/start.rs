//! Starts whose requests and answers are cut.

use std::{collections::BTreeSet, time::Duration};

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use streamnest::{Streamnest, core::StartExecution};
use streamnest_client::{Client, ClientOptions};
use streamnest_tests::{
    follower::{Follower, Http},
    http,
    proxy::{Fault, Proxy, Way},
    server::Server,
    workflows::Steps,
};

/// Both directions in which a connection is cut.
const CUTS: [fn(u64, Fault) -> Way; 2] = [Way::up, Way::down];

/// The ids of all executions of the server.
async fn executions(server: &Server) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), String::new());
    loop {
        let path = format!("/executions?limit=100{after}");
        let (_, page) = http::json(server.address, "GET", &path, &[], None).await;
        let page_ids = page["executions"].as_array().unwrap().iter();
        ids.extend(page_ids.map(|one| one["executionId"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

/// How often the workflow began in a run that is over.
async fn began(server: &Server, id: &str) -> usize {
    let frames = Follower::Events.follow(server.address, id).await;
    frames.iter().filter(|frame| frame.contains(r#""type":"workflow_start""#)).count()
}

/// Asks by the Rust client until it is answered.
async fn start(proxy: &Proxy, id: &str) {
    let options = ClientOptions::default().with_backoff(Duration::from_millis(1));
    let client = Client::new(&format!("http://{}", proxy.address)).unwrap().with_options(options);
    let request = StartExecution {
        workflow: "steps".into(),
        input: json!({"tokens": 0}),
        execution_id: Some(id.parse().unwrap()),
        on_disconnect: None,
        trace: None,
    };
    loop {
        match client.start_execution(request.clone()).await {
            Ok(started) => return assert_eq!(started.execution_id.as_str(), id),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Asks over HTTP until it is answered; the execution that it is.
async fn post(proxy: &Proxy, key: &str) -> String {
    let mut http = Http::new(proxy.address);
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    loop {
        let body = json!({"input": {"tokens": 0}}).to_string();
        let Some(answer) = http.send("POST", "/workflows/steps/executions", &headers, body).await else {
            continue;
        };
        assert_eq!(answer.status(), 202);
        match answer.into_body().collect().await {
            Ok(body) => {
                let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
                return body["executionId"].as_str().unwrap().to_owned();
            }
            Err(_) => http.leave(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_cut_after_any_byte_and_sent_again_starts_once() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let clean = Proxy::start(server.address).await;
    start(&clean, "first").await;
    let of_client = clean.passed();
    let clean = Proxy::start(server.address).await;
    let mut started = BTreeSet::from([String::from("first"), post(&clean, "first").await]);
    let of_http = clean.passed();
    let proxy = Proxy::start(server.address).await;
    for (direction, cut) in CUTS.into_iter().enumerate() {
        let length = |(up, down): (u64, u64)| if direction == 0 { up } else { down };
        for byte in 0..=length(of_client) {
            let id = format!("client-{direction}-{byte}");
            proxy.next(cut(byte, Fault::Cut));
            start(&proxy, &id).await;
            assert_eq!(began(&server, &id).await, 1, "{id}");
            started.insert(id);
        }
        for byte in 0..=length(of_http) {
            proxy.next(cut(byte, Fault::Cut));
            let id = post(&proxy, &format!("key-{direction}-{byte}")).await;
            assert_eq!(began(&server, &id).await, 1, "{id}");
            assert!(started.insert(id), "two keys, two executions");
        }
    }
    let there = executions(&server).await;
    let (lost, doubled) = (started.difference(&there).count(), there.difference(&started).count());
    println!("starts={} cuts={} lost={lost} doubled={doubled}", started.len(), proxy.faults());
    assert_eq!((lost, doubled), (0, 0), "each start is one execution");
    assert!(proxy.faults() > 500);
}

//! Executions that a program outside makes and speaks for.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use streamnest::{
    Streamnest,
    log::SystemClock,
    log_disk::{DiskOptions, DiskStore},
};
use streamnest_tests::{http, server::Server, workflows::Steps};

async fn server(directory: &Path) -> Server {
    let options = DiskOptions::default().with_reserve_bytes(0);
    let store = Arc::new(DiskStore::open(directory, Arc::new(SystemClock), options).unwrap());
    Server::start(Streamnest::builder().workflow(Steps::default()).store(store)).await
}

async fn ask(server: &Server, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let headers = if body.is_none() { vec![("content-type", "application/json")] } else { Vec::new() };
    let (response, _) = http::request(server.address, method, path, &headers, body).await;
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Every listed execution, a page of two at a time: its id, what it is of, and how it stands.
async fn listed(server: &Server) -> Vec<[String; 3]> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let (status, page) = ask(server, "GET", &format!("/executions?limit=2{after}"), None).await;
        assert_eq!(status, 200, "{page}");
        for one in page["executions"].as_array().unwrap() {
            all.push(
                ["executionId", "workflow", "status"].map(|name| one[name].as_str().unwrap().to_owned()),
            );
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn an_execution_from_outside_is_listed_shown_cancelled_and_deleted_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let first = server(directory.path()).await;
    let token = json!([{"type": "token", "nodeId": "write", "payload": {"content": "Hello"}}]);
    for id in ["o1", "o2", "o3"] {
        assert_eq!(ask(&first, "PUT", &format!("/v1/stream/executions/{id}"), Some(&token)).await.0, 201);
        let start = json!({"input": {"tokens": 1}, "executionId": format!("r{id}")});
        assert_eq!(ask(&first, "POST", "/workflows/steps/executions", Some(&start)).await.0, 202);
        first.app.logs().get(&format!("r{id}").parse::<streamnest::core::ExecutionId>().unwrap()).unwrap();
    }
    assert_eq!(ask(&first, "POST", "/executions/o2/cancel", Some(&json!({"reason": "enough"}))).await.0, 202);
    assert_eq!(ask(&first, "POST", "/executions/o2/cancel", Some(&json!({}))).await.0, 202, "idempotent");
    let (status, refused) = ask(&first, "POST", "/v1/stream/executions/o2", Some(&token)).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("sealed")));
    let (response, _) =
        http::request(first.address, "POST", "/v1/stream/executions/o3", &[("stream-closed", "true")], None)
            .await;
    assert_eq!(response.status(), 204);
    let signal = json!({"ask": "ask1", "answer": 1});
    let (status, refused) = ask(&first, "POST", "/executions/o1/signals", Some(&signal)).await;
    assert_eq!((status, &refused["error"]["code"]), (404, &json!("unknown_ask")));
    let (status, refused) = ask(&first, "DELETE", "/executions/o1", None).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("still_running")));
    let taken = json!({"input": {"tokens": 1}, "executionId": "o1"});
    assert_eq!(ask(&first, "POST", "/workflows/steps/executions", Some(&taken)).await.0, 409);
    let (_, shown) = ask(&first, "GET", "/executions/o1", None).await;
    assert_eq!((&shown["workflow"], &shown["status"]), (&json!("external"), &json!("running")));
    assert!(shown["last"].as_str().unwrap().ends_with("_0000000000000002"), "{shown}");

    for id in ["ro1", "ro2", "ro3"] {
        while ask(&first, "GET", &format!("/executions/{id}"), None).await.1["status"] == "running" {}
    }
    let wanted = [
        ["ro3", "steps", "completed"],
        ["o3", "external", "completed"],
        ["ro2", "steps", "completed"],
        ["o2", "external", "cancelled"],
        ["ro1", "steps", "completed"],
        ["o1", "external", "running"],
    ];
    assert_eq!(listed(&first).await, wanted);
    first.stop().await;

    // What was running goes on, and nothing else has changed.
    let second = server(directory.path()).await;
    assert_eq!(listed(&second).await, wanted);
    assert_eq!(ask(&second, "POST", "/v1/stream/executions/o1", Some(&token)).await.0, 204);
    let (_, shown) = ask(&second, "GET", "/executions/o1", None).await;
    assert!(shown["last"].as_str().unwrap().ends_with("_0000000000000003"), "{shown}");
    assert_eq!(ask(&second, "DELETE", "/executions/o3", None).await.0, 202);
    assert_eq!(ask(&second, "GET", "/executions/o3", None).await.0, 404);
    assert_eq!(ask(&second, "GET", "/v1/stream/executions/o3", None).await.0, 404);
    assert_eq!(listed(&second).await.len(), 5);
}

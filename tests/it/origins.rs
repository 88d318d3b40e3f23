//! Who may: pages of other origins may not.

use serde_json::json;
use streamnest::Streamnest;
use streamnest_tests::{http, server::Server, workflows::Steps};

#[tokio::test]
async fn a_page_of_another_origin_can_neither_start_read_nor_cancel() {
    let server = Server::start(Streamnest::builder().workflow(Steps::default())).await;
    let run = server.app.start("steps", json!({"tokens": 1, "then": "hang"})).await.unwrap();
    let id = run.execution_id();
    let foreign = [("origin", "https://evil.example")];
    let body = json!({"input": {"tokens": 1}});
    let (status, answer) =
        http::json(server.address, "POST", "/workflows/steps/executions", &foreign, Some(&body)).await;
    assert_eq!(status, 403, "{answer}");
    assert_eq!(server.app.logs().len(), 1, "nothing was started");
    let path = format!("/executions/{id}/events");
    let (response, _) = http::request(server.address, "GET", &path, &foreign, None).await;
    assert_eq!(response.status(), 403);
    let path = format!("/executions/{id}/cancel");
    let (status, _) = http::json(server.address, "POST", &path, &foreign, Some(&json!({}))).await;
    assert_eq!(status, 403);
    assert!(!run.log().head().sealed, "it runs on");
    // A name that somebody else pointed at this machine is no name of this server.
    let (status, _) =
        http::json(server.address, "GET", "/workflows", &[("host", "evil.example")], None).await;
    assert!(status.is_client_error(), "{status}");
    let (status, _) = http::json(server.address, "GET", "/workflows", &[], None).await;
    assert_eq!(status, 200);
    run.cancel("test is over").await;
}

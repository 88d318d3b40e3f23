//! `axum-mount`: the program's own routes, and those of Streamnest below them.

use ::axum_mount::{LetterModule, routes};
use serde_json::json;
use streamnest_tests::http;
use tokio::{net::TcpListener, sync::oneshot};

use super::{entries, fast, result, text_of};

#[tokio::test]
async fn a_program_of_axum_has_workflows_below_a_path_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let app = fast(LetterModule).data_dir(directory.path()).build().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let (served, stopping) = (routes(app.clone()), app.clone());
    let serving = tokio::spawn(async move {
        axum::serve(listener, served.into_make_service_with_connect_info::<std::net::SocketAddr>())
            .with_graceful_shutdown(async move {
                let _ = stopped.await;
                stopping.shut_down().await;
            })
            .await
    });

    let (status, order) = http::json(address, "GET", "/orders/7", &[], None).await;
    assert_eq!((status.as_u16(), order), (200, json!({"order": 7, "paid": true})), "its own route");
    for _ in 0..2 {
        let (status, started) = http::json(address, "POST", "/orders/7/letter", &[], None).await;
        let expected = json!({"execution": "order-7", "events": "/streams/executions/order-7/events"});
        assert_eq!((status.as_u16(), started), (202, expected), "asked twice it is the same letter");
    }
    let said = entries(address, "/streams", "order-7").await;
    let text = text_of(&said, "write");
    assert!(!text.is_empty());
    assert_eq!(result(&said)["text"], text, "the tokens are the letter");
    let (page, _) = http::request(address, "GET", "/streams", &[], None).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8", "the page is there too");

    drop(stop);
    serving.await.unwrap().unwrap();
    drop(app);

    // The letter is there when the program comes again.
    let app = fast(LetterModule).data_dir(directory.path()).build().await.unwrap();
    let kept = app.attach(&"order-7".parse().unwrap()).await.unwrap();
    assert_eq!(kept.result().await.unwrap()["text"], text);
}

//! What pages of other origins may send and read, and the headers that no answer goes without.

use crate::server::{Answer, Server};
use streamnest_gateway::GatewayOptions;

const PAGE: &str = "https://app.example.org";

async fn server(credentials: bool) -> Server {
    let options = GatewayOptions::default().with_allowed_origins(vec![PAGE.into()]);
    Server::with_options(options.with_allow_credentials(credentials)).await
}

async fn asked_first(server: &Server) -> Answer {
    let headers = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type"),
    ];
    server.ask("OPTIONS", "/workflows/held/executions", &headers, "").await
}

fn lists(answer: &Answer, header: &str, names: &[&str]) {
    let listed: Vec<_> = answer.header(header).unwrap_or_default().split(", ").collect();
    for name in names {
        assert!(listed.contains(name), "{header} has no {name}: {listed:?}");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_a_token_and_read_what_it_needs() {
    let server = server(false).await;
    let first = asked_first(&server).await;
    assert_eq!((first.status, first.header("access-control-allow-origin")), (204, Some(PAGE)));
    lists(
        &first,
        "access-control-allow-headers",
        &["authorization", "content-type", "last-event-id", "traceparent"],
    );
    let answer = server.ask("GET", "/executions", &[("origin", PAGE)], "").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    lists(
        &answer,
        "access-control-expose-headers",
        &["location", "content-location", "last-event-id", "etag", "retry-after", "stream-next-offset"],
    );
    // Without being told so it gets no cookies sent along.
    for answer in [&first, &answer] {
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn cookies_are_sent_along_only_where_the_server_says_so() {
    let server = server(true).await;
    let answer = server.ask("GET", "/executions", &[("origin", PAGE)], "").await;
    for answer in [asked_first(&server).await, answer] {
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE), "never a wildcard");
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("origin")), "{answer:?}");
    }
    let own = server.get("/executions").await;
    assert_eq!(own.header("access-control-allow-credentials"), None);
    let other = server.ask("GET", "/executions", &[("origin", "https://evil.example")], "").await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
}

#[tokio::test]
async fn no_answer_goes_without_the_headers_that_keep_browsers_safe() {
    let server = Server::start().await;
    server.ask("PUT", "/v1/stream/a", &[("content-type", "text/html")], "<script>").await;
    for path in ["/executions", "/nowhere", "/metrics", "/v1/stream/a", "/", "/console/app.js"] {
        let answer = server.get(path).await;
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "deny"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(expected), "{path}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") || policy == "sandbox", "{path}: {policy}");
    }
}

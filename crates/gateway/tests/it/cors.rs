//! What pages of other origins may send and read, and the headers that no answer goes without.

use crate::server::{Answer, Server};
use streamnest_gateway::{GatewayOptions, RateLimitOptions};

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
async fn no_cache_gives_a_page_what_was_answered_to_another() {
    let server = server(false).await;
    let by = async |headers: &[(&str, &str)]| server.ask("GET", "/executions", headers, "").await;
    let own = format!("http://{}", server.address);
    for answer in [
        by(&[]).await,
        by(&[("origin", &own)]).await,
        by(&[("origin", PAGE)]).await,
        by(&[("origin", "https://evil.example")]).await,
        server.get("/v1/stream/none").await,
    ] {
        let vary: Vec<_> = answer.headers("vary").collect();
        assert!(vary.contains(&"origin"), "{answer:?}");
    }
    // Where no page elsewhere may ask, all get the same.
    let alone = Server::start().await;
    assert_eq!(alone.get("/executions").await.header("vary"), None);
}

#[tokio::test]
async fn pages_elsewhere_use_up_nothing_of_what_a_user_may_ask() {
    let limits = RateLimitOptions::unlimited().with_max_requests_per_user(Some(2));
    let server = Server::with_options(GatewayOptions::default().with_rate_limit(Some(limits))).await;
    for foreign in [("origin", "https://evil.example"), ("host", "evil.example")] {
        for _ in 0..3 {
            assert_eq!(server.ask("GET", "/executions", &[foreign], "").await.status, 403);
        }
    }
    for expected in [200, 200, 429] {
        assert_eq!(server.get("/executions").await.status, expected);
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

#[tokio::test]
async fn a_page_is_the_servers_own_only_by_the_scheme_by_which_the_server_is_asked() {
    let name = "streams.example.org";
    let options = || GatewayOptions::default().with_allowed_hosts(vec![name.into()]);
    let ask = async |server: &Server, scheme: &str, said: &[(&str, &str)]| {
        let origin = format!("{scheme}://{name}");
        let headers = [&[("host", name), ("origin", &origin)], said].concat();
        server.ask("GET", "/executions", &headers, "").await
    };
    let put = async |server: &Server, path: &str, said: &[(&str, &str)]| {
        let made = server.ask("PUT", path, &[&[("host", name)], said].concat(), "").await;
        made.header("location").unwrap().to_owned()
    };
    // Nobody stands before it, so nobody's word counts.
    let open = Server::with_options(options()).await;
    let said = [("x-forwarded-proto", "https"), ("forwarded", "proto=https")];
    for said in [&said[..], &[]] {
        assert_eq!(ask(&open, "http", said).await.status, 200);
        let message = ask(&open, "https", said).await.error(403, "origin_not_allowed");
        assert!(message.contains("`trusted_proxies`"), "{message}");
    }
    assert_eq!(put(&open, "/v1/stream/a", &said).await, format!("http://{name}/v1/stream/a"));
    // A proxy's does, where it says it.
    let proxies = || options().with_trusted_proxies(vec!["127.0.0.1".into()]);
    let behind = Server::with_options(proxies()).await;
    for (said, by_http, by_https) in [
        (&[][..], 200, 403),
        (&[("x-forwarded-proto", "https")], 403, 200),
        (&[("x-forwarded-proto", "http, https")], 403, 200),
        (&[("x-forwarded-proto", "https, http")], 200, 403),
        (&[("x-forwarded-proto", "gopher")], 200, 403),
        (&[("forwarded", "proto=https")], 200, 403),
    ] {
        let came = (ask(&behind, "http", said).await.status, ask(&behind, "https", said).await.status);
        assert_eq!(came, (by_http, by_https), "{said:?}");
    }
    let said = [("x-forwarded-proto", "https")];
    assert_eq!(put(&behind, "/v1/stream/a", &said).await, format!("https://{name}/v1/stream/a"));
    let behind = Server::with_options(proxies().with_forwarded_header("forwarded".into())).await;
    let said = [("forwarded", "for=192.0.2.1;proto=\"https\""), ("x-forwarded-proto", "http")];
    assert_eq!(ask(&behind, "https", &said).await.status, 200);
    assert_eq!(ask(&behind, "http", &said).await.status, 403);
}

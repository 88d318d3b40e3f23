use super::*;

fn access() -> Access {
    Access::new(
        &GatewayOptions::default()
            .with_allowed_hosts(vec!["Run.example".into(), "other.example:8443".into()])
            .with_allowed_origins(vec!["https://app.example".into(), "HTTPS://Usual.example:443".into()]),
    )
}

#[test]
fn a_host_is_followed_by_a_port_or_by_nothing() {
    let read = |host: &str| {
        let request = Request::builder().uri("/").header("host", host).body(axum::body::Body::empty());
        authority_of(&request.unwrap()).ok().map(|authority| authority.to_string())
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "run.example"] {
        for rest in ["", ":0", ":80", ":00080", ":65535"] {
            let whole = format!("{host}{rest}");
            assert_eq!(read(&whole), Some(whole.clone()), "{whole}");
        }
        for rest in
            [":", ":65536", ":+80", ":-1", ":8 0", ":80x", ":80:80", "/", "/x", "?x", "#x", ":80/", " "]
        {
            assert_eq!(read(&format!("{host}{rest}")), None, "{host}{rest}");
        }
        for before in ["ada@", "ada:secret@", "@"] {
            assert_eq!(read(&format!("{before}{host}")), None, "{before}{host}");
        }
    }
    for host in
        ["[::1]&:80", "[::1]&", "[::1]x:80", "[::1].evil.example", "[::1]::80", "[::1", "::1", "", ":80"]
    {
        assert_eq!(read(host), None, "{host}");
    }
}

#[test]
fn only_the_servers_own_names_are_hosts() {
    let (access, local) = (access(), Some("192.168.1.5".parse().unwrap()));
    for (host, expected) in [
        ("localhost", true),
        ("LOCALHOST:8080", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("192.168.1.5:80", true),
        ("192.168.1.6:80", false),
        ("run.example:1", true),
        ("other.example:8443", true),
        ("other.example", false),
        ("localhost.evil.example", false),
        ("evil.example:8080", false),
        ("localhost&", false),
        ("127.0.0.1&:80", false),
        ("[127.0.0.1]", false),
    ] {
        assert_eq!(access.allows_host(&host.parse().unwrap(), local), expected, "{host}");
    }
}

#[test]
fn only_the_servers_own_pages_and_those_it_was_told_of_are_origins() {
    let (access, own) = (access(), "localhost:8080".parse().unwrap());
    for (origin, expected) in [
        ("http://localhost:8080", true),
        ("https://LOCALHOST:8080", true),
        ("https://app.example", true),
        ("https://usual.example", true),
        ("http://app.example", false),
        ("http://localhost:3000", false),
        ("http://localhost", false),
        ("http://evil.example", false),
        ("http://localhost:8080@evil.example", false),
        ("http://localhost:8080.evil.example", false),
        ("file://localhost:8080", false),
        ("null", false),
        ("", false),
    ] {
        assert_eq!(access.allows_origin(origin, &own, None), expected, "{origin}");
    }
    // Where it is known how a request came, a page that came otherwise is another's.
    for (origin, by_http, by_https) in [
        ("http://localhost:8080", true, false),
        ("https://localhost:8080", false, true),
        ("HTTPS://localhost:8080", false, true),
        ("https://app.example", true, true),
    ] {
        let by = |scheme| access.allows_origin(origin, &own, Some(&scheme));
        assert_eq!((by(Scheme::HTTP), by(Scheme::HTTPS)), (by_http, by_https), "{origin}");
    }
}

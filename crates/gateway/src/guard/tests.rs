use super::*;

fn access() -> Access {
    Access::new(
        &GatewayOptions::default()
            .with_allowed_hosts(vec!["Run.example".into(), "other.example:8443".into()])
            .with_allowed_origins(vec!["https://app.example".into()]),
    )
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
        assert_eq!(access.allows_origin(origin, &own), expected, "{origin}");
    }
}

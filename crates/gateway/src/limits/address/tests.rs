use http::{HeaderMap, HeaderValue};

use super::*;

fn client(peer: &str, headers: &[(&'static str, &str)]) -> String {
    client_by("x-forwarded-for", peer, headers)
}

fn client_by(header: &'static str, peer: &str, headers: &[(&'static str, &str)]) -> String {
    let networks = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
    let trusted = TrustedProxies { networks, header: HeaderName::from_static(header) };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    forwarded(peer.parse().unwrap(), &map, &trusted).to_string()
}

#[test]
fn what_a_stranger_says_of_its_address_does_not_count() {
    assert_eq!(client("192.0.2.7", &[("x-forwarded-for", "198.51.100.1")]), "192.0.2.7");
    assert_eq!(client("192.0.2.7", &[("forwarded", "for=198.51.100.1")]), "192.0.2.7");
}

#[test]
fn a_trusted_proxy_tells_who_it_is_for_and_what_came_before_is_not_believed() {
    for (header, expected) in [
        ("198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1, 10.2.2.2", "198.51.100.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("1.1.1.1, unknown", "10.0.0.1"),
        ("1.1.1.1, ", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", header)]), expected, "{header}");
    }
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    let twice = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.1")];
    assert_eq!(client("::ffff:10.0.0.1", &twice), "198.51.100.1");
}

#[test]
fn no_header_but_the_one_that_proxies_write_counts() {
    let both = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "198.51.100.1")];
    assert_eq!(client("10.0.0.1", &both), "198.51.100.1");
    assert_eq!(client("10.0.0.1", &both[..1]), "10.0.0.1");
    assert_eq!(client_by("forwarded", "10.0.0.1", &both), "203.0.113.9");
    assert_eq!(client_by("forwarded", "10.0.0.1", &both[1..]), "10.0.0.1");
    assert_eq!(client_by("x-real-ip", "10.0.0.1", &[("x-real-ip", "198.51.100.1")]), "198.51.100.1");
}

#[test]
fn the_standard_header_is_read_in_its_own_form() {
    for (header, expected) in [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=\"[2001:db8:cafe::17]:4711\";proto=https", "2001:db8:cafe::17"),
        ("for=1.1.1.1, proto=https;for=198.51.100.1;by=10.0.0.1", "198.51.100.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ] {
        let headers = [("forwarded", header), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(client_by("forwarded", "10.0.0.1", &headers), expected, "{header}");
    }
}

#[test]
fn one_network_of_ipv6_counts_as_one() {
    let of = |text: &str| ClientAddress::new(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
}

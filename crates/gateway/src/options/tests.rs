use super::*;

fn refused(options: &GatewayOptions) -> String {
    options.validate().unwrap_err().to_string()
}

#[test]
fn the_defaults_are_valid() {
    GatewayOptions::default().validate().unwrap();
}

#[test]
fn a_bound_of_zero_is_refused_by_name() {
    let options = GatewayOptions::default();
    assert!(refused(&options.clone().with_max_subscriptions(0)).contains("`max_subscriptions`"));
    assert!(refused(&options.clone().with_max_event_subscriptions(0)).contains("`max_event_subscriptions`"));
    assert!(refused(&options.with_heartbeat_interval(Duration::ZERO)).contains("`heartbeat_interval`"));
}

#[test]
fn hosts_and_origins_have_to_be_such() {
    let options = GatewayOptions::default();
    assert!(refused(&options.clone().with_allowed_hosts(vec!["a b".into()])).contains("a b"));
    for bad in ["app.example", "https://", "https://a/b", "https://u@a", "null"] {
        assert!(refused(&options.clone().with_allowed_origins(vec![bad.into()])).contains(bad), "{bad}");
    }
    let good = vec!["https://app.example".into(), "http://localhost:3000".into()];
    options
        .with_allowed_origins(good)
        .with_allowed_hosts(vec!["run.example:8443".into()])
        .validate()
        .unwrap();
}

#[test]
fn what_would_match_nothing_is_refused_with_the_way_out() {
    let hosts = |name: &str| refused(&GatewayOptions::default().with_allowed_hosts(vec![name.into()]));
    for pattern in ["*", "*.example.org"] {
        let expected =
            format!("option `allowed_hosts` has {pattern:?}, but takes no patterns; name each host");
        assert_eq!(hosts(pattern), expected);
    }
    for port in [80, 443] {
        assert_eq!(
            hosts(&format!("run.example:{port}")),
            format!(
                "option `allowed_hosts` has \"run.example:{port}\", but clients leave the usual port {port} out; \
                 write \"run.example\", which is good for every port"
            )
        );
    }
    for bad in ["run.example:70000", "ada@run.example", "run.example:", ":8080", ""] {
        assert!(hosts(bad).contains("which is no host name or address"), "{bad}");
    }
    for pattern in ["*", "https://*.example.org"] {
        let options = GatewayOptions::default().with_allowed_origins(vec![pattern.into()]);
        let expected =
            format!("option `allowed_origins` has {pattern:?}, but takes no patterns; name each origin");
        assert_eq!(refused(&options), expected);
    }
}

#[test]
fn a_rate_limit_that_limits_nothing_is_refused() {
    let options = |limits| GatewayOptions::default().with_rate_limit(Some(limits));
    for nothing in [RateLimitOptions::unlimited(), RateLimitOptions::unlimited().with_max_keys(5)] {
        assert_eq!(
            refused(&options(nothing)),
            "option `rate_limit` limits nothing; give at least one of `max_connections`, \
             `max_requests_per_connection`, `max_requests_per_user`, `max_executions_per_user` and \
             `replay_bytes_per_second`, or leave it out"
        );
    }
    options(RateLimitOptions::default()).validate().unwrap();
    options(RateLimitOptions::unlimited().with_replay_bytes_per_second(Some(1 << 20))).validate().unwrap();
}

#[test]
fn a_flush_window_is_bounded() {
    let options = GatewayOptions::default().with_flush_window(Duration::from_secs(11));
    assert!(refused(&options).contains("11s"));
}

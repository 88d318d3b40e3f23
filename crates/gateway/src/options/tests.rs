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
fn a_flush_window_is_bounded() {
    let options = GatewayOptions::default().with_flush_window(Duration::from_secs(11));
    assert!(refused(&options).contains("11s"));
}

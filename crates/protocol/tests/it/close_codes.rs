//! Close codes: the table of `docs/protocol.md`.

use std::time::Duration;

use streamnest_protocol::native::{CloseCode, Reconnect, websocket::MAX_CLOSE_REASON};

#[test]
fn the_table_in_the_reference_is_what_the_code_says() {
    let reference = include_str!("../../../../docs/protocol.md");
    for code in CloseCode::ALL {
        let words = match code.reconnect() {
            Reconnect::No => "no",
            Reconnect::Jittered => "yes, jittered",
            Reconnect::WithNewToken => "with a new token",
            Reconnect::AfterDelay => "after `retryAfterMs`",
        };
        let row = format!("| {} | {} | {words} |", code.code(), code.meaning());
        assert!(reference.contains(&row), "docs/protocol.md has no row\n{row}");
    }
}

#[test]
fn every_code_reads_back_and_its_meaning_fits_a_close_frame() {
    for code in CloseCode::ALL {
        assert_eq!(CloseCode::from_code(code.code()), Some(code));
        assert!(code.meaning().len() <= MAX_CLOSE_REASON);
        assert_eq!(Reconnect::after(Some(code.code())), code.reconnect());
    }
    assert_eq!(CloseCode::from_code(4000), None);
}

#[test]
fn what_a_network_does_is_retried_and_what_a_protocol_forbids_is_not() {
    assert_eq!(Reconnect::after(None), Reconnect::Jittered);
    for code in [1006, 1011, 1012, 1013, 1014, 3000, 4000] {
        assert_eq!(Reconnect::after(Some(code)), Reconnect::Jittered, "{code}");
    }
    for code in [1002, 1003, 1007, 1008, 1010] {
        assert_eq!(Reconnect::after(Some(code)), Reconnect::No, "{code}");
    }
}

#[test]
fn a_rate_limits_delay_reads_back() {
    let reason = CloseCode::retry_after_reason(Duration::from_millis(1500));
    assert_eq!(reason, r#"{"retryAfterMs":1500}"#);
    assert_eq!(CloseCode::retry_after(&reason), Some(Duration::from_millis(1500)));
    assert_eq!(CloseCode::retry_after("slow down"), None);
}

use super::*;
use crate::{Streamnest, gateway::GatewayOptions, log::LogOptions};

#[tokio::test]
async fn a_message_is_told_once() {
    let options = GatewayOptions::default().with_max_pending_reply_bytes(0);
    let error = Streamnest::builder().gateway_options(options).build().await.unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(text.matches("max_pending_reply_bytes").count(), 1, "{text}");
    assert_eq!(text, error.to_string());

    let options = LogOptions::default().with_max_event_bytes(0);
    let error = Streamnest::builder().log_options(options).build().await.unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(text.matches("max_event_bytes").count(), 1, "{text}");
}

#[test]
fn a_cause_that_the_message_does_not_name_is_told_too() {
    let address = "127.0.0.1:80".parse().unwrap();
    let error = Error::Listen { address, source: io::ErrorKind::AddrInUse.into() };
    assert_eq!(
        format!("{error:?}"),
        "cannot listen on 127.0.0.1:80; choose another by `--listen`: address in use"
    );
}

#[test]
fn the_services_errors_keep_their_causes_codes_and_whether_to_try_again() {
    use crate::{StreamingError, core::StoreError, gateway::WebSocketError, log, runtime};
    let store = || {
        let source = std::sync::Arc::new(io::Error::other("disk on fire"));
        log::Error::Store(StoreError::Unavailable { source })
    };
    let errors: [StreamingError; 3] = [
        runtime::TokenStreamingError::Log(store()).into(),
        WebSocketError::Log(store()).into(),
        runtime::ViewError::Log(store()).into(),
    ];
    for error in errors {
        assert_eq!((error.code(), error.is_retryable()), ("store_unavailable", true), "{error}");
        let mut causes = Vec::new();
        let mut cause = StdError::source(&error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        assert_eq!(causes.last().map(String::as_str), Some("disk on fire"), "{error:?}");
        // What is told onwards is the fact; the cause stays with it.
        assert!(!error.to_string().contains("disk on fire"), "{error}");
    }
    let full = WebSocketError::ConnectionFull { id: "c".into(), limit: 1 };
    assert!(StreamingError::from(full).is_retryable());
}

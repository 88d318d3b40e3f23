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

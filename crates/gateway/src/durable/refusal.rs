//! What is wrong with a request, as HTTP says it.

use http::{HeaderName, HeaderValue, StatusCode};
use streamnest_log::Error;
use streamnest_protocol::durable::{Invalid, header};

use crate::http::Refusal;

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let status = match invalid {
            Invalid::Reserved => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, invalid.code(), invalid.to_string())
    }
}

/// Tells what the log refused, in the statuses and headers of the protocol.
pub(super) fn refuse(error: Error) -> Refusal {
    if let Error::Store(store) = &error {
        tracing::warn!(error = store as &dyn std::error::Error, "a stream's log refused");
        return Refusal::store(store);
    }
    let status = match &error {
        Error::UnknownStream { .. } | Error::Removed => StatusCode::NOT_FOUND,
        Error::StreamDeleted { .. }
        | Error::StalePosition { .. }
        | Error::Trimmed { .. }
        | Error::Damaged { .. } => StatusCode::GONE,
        Error::StreamExists { .. }
        | Error::AlreadyExists { .. }
        | Error::StillRunning { .. }
        | Error::StreamClosed
        | Error::Sealed { .. }
        | Error::SequenceRegression
        | Error::ProducerGap { .. }
        | Error::ContentTypeMismatch { .. }
        | Error::ForkSourceDeleted { .. } => StatusCode::CONFLICT,
        Error::ProducerFenced { .. } => StatusCode::FORBIDDEN,
        Error::AppendTooLarge { .. } | Error::EventTooLarge { .. } | Error::StreamFull { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Error::TooManyStreams { .. }
        | Error::TooManyStreamsOfUser { .. }
        | Error::TooManyProducers { .. }
        | Error::TooManyAttributes { .. }
        | Error::AttributesTooLarge { .. }
        | Error::TooManyLogs { .. }
        | Error::TooMuchKept { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::StreamsFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut refusal = Refusal::new(status, error.code(), error.to_string());
    let mut put = |name, value: u64| refusal.put(HeaderName::from_static(name), HeaderValue::from(value));
    match error {
        Error::ProducerFenced { epoch } => put(header::PRODUCER_EPOCH, epoch),
        Error::ProducerGap { expected, received } => {
            put(header::PRODUCER_EXPECTED_SEQ, expected);
            put(header::PRODUCER_RECEIVED_SEQ, received);
        }
        Error::Trimmed { first } | Error::Damaged { first } => {
            if let Ok(first) = HeaderValue::from_str(&first.to_string()) {
                refusal.put(HeaderName::from_static(header::NEXT_OFFSET), first);
            }
        }
        _ => {}
    }
    refusal
}

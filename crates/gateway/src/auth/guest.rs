//! An answer that goes on ends when its reader's token does.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Authenticator, Principal};
use crate::{
    http::Refusal,
    people::{Line, Present},
    shared::Shared,
};

/// Lets an event stream go on only for as long as its reader's token is good and not revoked. What else was read is given only if
/// the token is still good: a long-poll may have waited since. Of what changed something the answer is left as it is.
pub(crate) fn leash(
    shared: &Shared,
    auth: &Authenticator,
    principal: &Arc<Principal>,
    reads: bool,
    response: Response,
) -> Result<Response, Refusal> {
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !content_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
        return match reads {
            true => still_good(shared, auth, principal).map(|()| response),
            false => Ok(response),
        };
    }
    let stop = CancellationToken::new();
    let limit = shared.options.max_event_streams_per_user;
    let present = shared.people.enter(principal.clone(), Line::Stream(stop.clone()), limit);
    let present = present.ok_or_else(|| Refusal::too_many_streams(limit))?;
    still_good(shared, auth, principal)?;
    let left = auth.time_left(principal, shared.logs.now());
    Ok(response.map(|body| {
        Body::new(Guest {
            body,
            ends: Box::pin(sleep_until(Instant::now() + left)),
            stopped: Box::pin(stop.cancelled_owned()),
            over: false,
            _present: present,
        })
    }))
}

fn still_good(shared: &Shared, auth: &Authenticator, principal: &Principal) -> Result<(), Refusal> {
    auth.still_good(principal, shared.logs.now()).map_err(|rejected| Refusal::unauthenticated(&rejected))
}

struct Guest {
    body: Body,
    ends: Pin<Box<Sleep>>,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
    _present: Present,
}

impl http_body::Body for Guest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over || self.ends.as_mut().poll(cx).is_ready() || self.stopped.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }
}

//! An answer that goes on ends when its reader's token does.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::{Frame, SizeHint};
use tokio::time::sleep;
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};

use super::{Authenticator, Principal};
use crate::{http::Refusal, people::Present, serve::Watch, shared::Shared};

/// How long an event stream may take to end by itself, as one does that is read.
const ENDS_WITHIN: Duration = Duration::from_millis(100);

/// Lets an event stream go on only for as long as its reader's token is good and not revoked. What else was read is given only if
/// the token is still good: a long-poll may have waited since. Of what changed something the answer is left as it is.
pub(crate) fn leash(
    shared: &Shared,
    auth: &Authenticator,
    principal: &Arc<Principal>,
    watch: Option<Arc<Watch>>,
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
    let present = shared.people.enter_stream(principal.clone(), stop.clone(), limit);
    let present = present.ok_or_else(|| Refusal::too_many_streams(limit))?;
    still_good(shared, auth, principal)?;
    let left = auth.time_left(principal, shared.logs.now());
    let (stopped, connection) = (Box::pin(stop.clone().cancelled_owned()), watch.clone());
    // A client that takes nothing keeps the stream from being asked for more, and so from its end.
    let keeper = shared.tasks.spawn(async move {
        tokio::select! {
            () = sleep(left) => stop.cancel(),
            () = stop.cancelled() => {}
        }
        sleep(ENDS_WITHIN).await;
        connection.inspect(|connection| connection.cut());
    });
    let keeper = AbortOnDropHandle::new(keeper);
    Ok(response.map(|body| {
        Body::new(Guest { body, stopped, over: false, watch, _keeper: keeper, _present: present })
    }))
}

fn still_good(shared: &Shared, auth: &Authenticator, principal: &Principal) -> Result<(), Refusal> {
    auth.still_good(principal, shared.logs.now()).map_err(|rejected| Refusal::unauthenticated(&rejected))
}

struct Guest {
    body: Body,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    over: bool,
    /// The connection by which it goes, if the gateway accepted that itself.
    watch: Option<Arc<Watch>>,
    /// Ends the connection if the stream does not end by itself.
    _keeper: AbortOnDropHandle<()>,
    _present: Present,
}

impl http_body::Body for Guest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over || self.stopped.as_mut().poll(cx).is_ready() {
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

impl Drop for Guest {
    fn drop(&mut self) {
        // What it gave before may still be kept for a client that takes nothing.
        self.watch.take_if(|watch| self.over && watch.is_blocked()).inspect(|watch| watch.cut());
    }
}

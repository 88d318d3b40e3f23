//! From the logs to what is owed.

use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use streamnest_core::{Entry, Position, Seq};
use streamnest_log::{EventLog, FanIn, FanInCursor, Filter, Gap, GapReason, Read, ReadLimit};
use streamnest_protocol::native::{self, ServerFrame, SubscriptionName, WebSocketFrame};
use tokio::time::Instant;

use super::{
    Connection,
    owed::Owed,
    subscription::{Held, Source, Subscription, open, state_of},
};
use crate::{compact::Compacted, compression::Compressor, http::error_frame, metrics::Metrics};

/// The most of what is copied for one subscription at once, in bytes: frames with a name in them are its own. That,
/// and not the bound of all, is what a reader that stops reading may hold on to.
const COPIED_BYTES: usize = 32 << 10;

/// What a look at a subscription gave.
enum Pulled {
    /// Nothing now; the task is woken when there is.
    Nothing,
    /// Nothing before this time.
    NotBefore(Instant),
    /// Something is owed, or has changed; there may be more.
    Something,
    /// It cannot go on.
    Failed { error: ServerFrame, reply_to: Option<String> },
}

impl Connection {
    /// Takes from the logs what came since; whether anything has changed. Called only when nothing is owed.
    pub(super) fn pull(&mut self, cx: &mut Context<'_>) -> bool {
        if self.heartbeat_due {
            self.beat();
        }
        self.pull_at = None;
        let mut changed = !self.replies.is_empty();
        if let Some(not_before) = self.replays_not_before() {
            self.pull_at = Some(not_before);
            return changed;
        }
        let compressor = Some(&self.shared.compressor).filter(|_| self.deflates);
        let whole = self.shared.options.max_write_bytes;
        let (mut room, mut spared) = (whole, 0);
        let count = self.subscriptions.len();
        let first = self.turn;
        for turn in first..first + count {
            let index = turn % count;
            // Who was not looked at this time is the first one the next time.
            self.turn = index;
            if room == 0 {
                break;
            }
            let Some(subscription) = self.subscriptions.get_mut(index) else { break };
            let before = owed_bytes(&mut self.owed);
            let pulled = subscription.pull(cx, &mut self.owed, room, &self.shared.metrics, compressor);
            spared += mem::take(&mut subscription.spared);
            match pulled {
                Pulled::Nothing => {}
                Pulled::NotBefore(time) => {
                    self.pull_at = Some(self.pull_at.map_or(time, |earliest| earliest.min(time)));
                }
                Pulled::Something => {
                    changed = true;
                    room = room.saturating_sub(owed_bytes(&mut self.owed) - before);
                }
                Pulled::Failed { error, reply_to } => {
                    self.subscriptions.remove(index);
                    self.reply(&error, reply_to.as_deref());
                    self.replayed(whole - room + spared);
                    // The others have moved; they are looked at in the next round.
                    return true;
                }
            }
        }
        if count > 0 {
            self.turn = (self.turn + 1) % count;
        }
        while room > 0
            && let Some(view) = &mut self.events_view
        {
            let before = owed_bytes(&mut self.owed);
            let error = match pull_all(&mut view.cursor, cx, &mut self.owed, room, &self.shared.metrics) {
                None => break,
                Some(error) => error,
            };
            changed = true;
            room = room.saturating_sub((owed_bytes(&mut self.owed) - before).max(1));
            if let Some(error) = error {
                self.reply(&error, None);
                break;
            }
        }
        // What was read again is what the logs gave, however little of it is sent.
        self.replayed(whole - room + spared);
        changed
    }

    /// Whether something is owed, or may come, that what it follows has said already.
    pub(super) fn is_behind(&self) -> bool {
        self.running.is_some()
            || self.events_view.is_some()
            || !self.owed.is_empty()
            || self.subscriptions.iter().any(Subscription::is_behind)
    }

    /// Whether an execution that goes on is followed.
    pub(super) fn follows_something(&self) -> bool {
        self.running.is_some()
            || self.events_view.is_some()
            || self.subscriptions.iter().any(Subscription::is_live)
    }
}

fn owed_bytes(owed: &mut Owed) -> usize {
    owed.pieces().iter().map(Bytes::len).sum()
}

impl Subscription {
    /// Takes what the log has, up to `room` bytes.
    fn pull(
        &mut self,
        cx: &mut Context<'_>,
        owed: &mut Owed,
        room: usize,
        metrics: &Metrics,
        compressor: Option<&Compressor>,
    ) -> Pulled {
        if let Source::Waiting(waiting) = &mut self.source {
            let log = match waiting.log.as_mut().poll(cx) {
                Poll::Ready(log) => log,
                Poll::Pending if Instant::now() < waiting.by => return Pulled::NotBefore(waiting.by),
                Poll::Pending => {
                    let message = format!(
                        "execution `{}` did not come to exist within `GatewayOptions::wait_timeout`; subscribe again",
                        self.execution
                    );
                    let error = ServerFrame::error("wait_timeout", message, true);
                    return Pulled::Failed { error, reply_to: waiting.reply_to.take() };
                }
            };
            let opened = log.and_then(|log| {
                open(&log, waiting.from, self.name.as_ref(), waiting.delivery, &self.acknowledger)
            });
            match opened {
                Ok(cursor) => self.source = Source::Reading(cursor),
                Err(error) => return failed(&error, waiting.reply_to.take()),
            }
        }
        let Source::Reading(cursor) = &mut self.source else { return Pulled::Nothing };
        if let Some(held) = &mut self.held {
            return match held.acknowledged.as_mut().poll(cx) {
                Poll::Pending => Pulled::Nothing,
                Poll::Ready(Ok(())) => {
                    owed.pieces().append(&mut held.frames);
                    self.held = None;
                    Pulled::Something
                }
                Poll::Ready(Err(error)) => failed(&error, None),
            };
        }
        if !self.flush_window.is_zero() {
            let now = Instant::now();
            match self.gathers_until {
                Some(until) if now < until => return Pulled::NotBefore(until),
                Some(_) => {}
                None if cursor.lag() > 0 => {
                    let until = now + self.flush_window;
                    self.gathers_until = Some(until);
                    return Pulled::NotBefore(until);
                }
                None => {}
            }
        }
        let room = if self.name.is_some() { room.min(COPIED_BYTES) } else { room };
        let limit = ReadLimit { bytes: room, ..ReadLimit::default() };
        let folded = self.compact.as_ref().and_then(|compact| compact.sent(cursor.log()));
        let before = folded.unwrap_or_else(|| cursor.position());
        match cursor.poll_next_batch(cx, limit) {
            Poll::Pending => {
                // All is taken: the next entry begins a new window.
                self.gathers_until = None;
                Pulled::Nothing
            }
            Poll::Ready(Ok(Some(Read::Gap(gap)))) => {
                metrics.gap(gap.reason);
                let compact = self.compact.as_mut();
                let folded = compact.and_then(|compact| compact.cut(cursor.log(), self.name.as_ref()));
                // What lies after a gap that passes the end of what was missed is no longer late.
                self.compact = self.compact.take().filter(|compact| !compact.is_over_at(gap.to));
                let frames = folded.map(ServerFrame::Snapshot).into_iter();
                let frames = frames.chain(gap_frame(cursor.log(), gap, self.name.clone()));
                let mut frames = frames.map(|frame| framed(&frame)).collect();
                match self.at_most_once {
                    true => self.hold(frames, before, gap.to),
                    false => owed.pieces().append(&mut frames),
                }
                Pulled::Something
            }
            Poll::Ready(Ok(Some(Read::Batch(batch)))) => {
                self.take(&batch, before, owed, compressor);
                Pulled::Something
            }
            Poll::Ready(Ok(None)) => {
                let (position, state) = (cursor.position(), state_of(cursor.log()));
                self.source = Source::Ended { position, state };
                Pulled::Something
            }
            Poll::Ready(Err(error)) => {
                tracing::warn!(execution = %self.execution, %error, "subscription cannot read its log");
                failed(&error, None)
            }
        }
    }

    /// Owes what was read, or holds it.
    fn take(
        &mut self,
        batch: &[Arc<Entry>],
        before: Position,
        owed: &mut Owed,
        compressor: Option<&Compressor>,
    ) {
        let Source::Reading(cursor) = &self.source else { return };
        let (log, filter, name) = (cursor.log(), self.filter.as_deref(), self.name.as_ref());
        let (mut held, mut spared) = (Vec::new(), 0);
        let out = if self.at_most_once { &mut held } else { owed.pieces() };
        let mut entries = batch;
        if let Some(compact) = &mut self.compact {
            let Compacted { snapshot, rest, is_over } = compact.take(log, entries, filter, name);
            out.extend(snapshot.map(|snapshot| framed(&ServerFrame::Snapshot(snapshot))));
            spared += weight_before(rest, entries);
            entries = rest;
            if is_over {
                self.compact = None;
            }
        }
        match filter {
            None => spared += encode(log, entries, name, compressor, out),
            Some(filter) => {
                let (chosen, left_out) = choose(filter, entries);
                spared += left_out;
                spared += encode(log, &chosen, name, compressor, out);
            }
        }
        // While entries are folded nothing of them was delivered.
        let is_folding = self.compact.as_ref().is_some_and(|compact| compact.sent(log).is_some());
        if let (true, false, Some(last)) = (self.at_most_once, is_folding, batch.last()) {
            self.hold(held, before, last.seq());
        }
        self.spared = spared;
    }

    /// Holds frames until everything up to `seq` is acknowledged for good.
    fn hold(&mut self, frames: Vec<Bytes>, before: Position, seq: Seq) {
        let (Source::Reading(cursor), Some(name)) = (&self.source, self.name.clone()) else { return };
        let log = cursor.log().clone();
        let by = self.acknowledger.clone();
        let acknowledged = Box::pin(async move { log.acknowledge_durably(&name, seq, &by).await });
        self.held = Some(Box::new(Held { frames, before, acknowledged }));
    }
}

/// Those of `entries` that a filter lets through, and the weight of the others, which were read all the same.
pub(crate) fn choose(filter: &Filter, entries: &[Arc<Entry>]) -> (Vec<Arc<Entry>>, usize) {
    let (mut chosen, mut left_out) = (Vec::new(), 0);
    for entry in entries {
        match filter.matches(entry.event()) {
            true => chosen.push(entry.clone()),
            false => left_out += entry.weight(),
        }
    }
    (chosen, left_out)
}

/// The weight of those of `entries` that stand before `rest`, which are their last ones.
pub(crate) fn weight_before(rest: &[Arc<Entry>], entries: &[Arc<Entry>]) -> usize {
    entries.iter().take(entries.len() - rest.len()).map(|entry| entry.weight()).sum()
}

/// Encodes entries: the bytes that all connections share, compressed for those who take that, or copies of them that carry the
/// subscription's name. Gives how many bytes compression spared.
fn encode(
    log: &EventLog,
    entries: &[Arc<Entry>],
    name: Option<&SubscriptionName>,
    compressor: Option<&Compressor>,
    out: &mut Vec<Bytes>,
) -> usize {
    let Some(name) = name else {
        return match compressor {
            Some(compressor) => compressor.push(log, entries, out),
            None => {
                log.encoded::<WebSocketFrame>(entries, out);
                0
            }
        };
    };
    let (mut shared, mut own) = (Vec::new(), Vec::new());
    log.encoded::<WebSocketFrame>(entries, &mut shared);
    for frames in shared {
        if let Err(error) = native::with_subscription(&frames, name, &mut own) {
            tracing::error!(%error, "encoded entries are no WebSocket frames");
        }
    }
    if !own.is_empty() {
        out.push(own.into());
    }
    0
}

/// Takes what one of many logs has. `None` if none has anything now; inside, an error that the client is told.
fn pull_all(
    fan_in: &mut FanInCursor,
    cx: &mut Context<'_>,
    owed: &mut Owed,
    room: usize,
    metrics: &Metrics,
) -> Option<Option<ServerFrame>> {
    let limit = ReadLimit { bytes: room, ..ReadLimit::default() };
    match fan_in.poll_next(cx, limit) {
        Poll::Pending => None,
        Poll::Ready(Ok(FanIn::Entries { log, entries })) => {
            log.encoded::<WebSocketFrame>(&entries, owed.pieces());
            Some(None)
        }
        Poll::Ready(Ok(FanIn::Gap { log, gap })) => {
            metrics.gap(gap.reason);
            gap_frame(&log, gap, None).iter().for_each(|frame| owed.push(framed(frame)));
            Some(None)
        }
        Poll::Ready(Ok(FanIn::LeftOut { executions })) => {
            let message = format!(
                "{executions} executions are left out, because as many are followed as `LogOptions::max_fan_in` allows"
            );
            Some(Some(ServerFrame::error("too_many_executions", message, true)))
        }
        Poll::Ready(Err(error)) => {
            tracing::warn!(%error, "one of many logs cannot be read");
            Some(Some(error_frame(&error)))
        }
    }
}

fn failed(error: &streamnest_log::Error, reply_to: Option<String>) -> Pulled {
    Pulled::Failed { error: error_frame(error), reply_to }
}

fn framed(frame: &ServerFrame) -> Bytes {
    let mut bytes = Vec::new();
    frame.encode_websocket(None, &mut bytes);
    bytes.into()
}

/// What a reader of an execution is told of entries that it does not get; `None` for a log that is no execution's.
pub(crate) fn gap_frame(
    log: &EventLog,
    gap: Gap,
    subscription: Option<SubscriptionName>,
) -> Option<ServerFrame> {
    let reason = match gap.reason {
        GapReason::Epoch => native::GapReason::Epoch,
        GapReason::Lagged => native::GapReason::Lagged,
        GapReason::Damaged => native::GapReason::Damaged,
        // What a log does not have any more, for whatever reason, it does not keep.
        _ => native::GapReason::Trimmed,
    };
    Some(ServerFrame::Gap(native::Gap {
        execution_id: log.identity().execution()?.clone(),
        subscription,
        from: gap.from,
        to: gap.to,
        reason,
        position: log.position(gap.to),
    }))
}

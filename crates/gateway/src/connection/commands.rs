//! What a client asks for, and what it is answered.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use streamnest_core::{
    BoxFuture, ControlError, Delivery, ExecutionId, Position, Seq, Signal, Signalled, StartExecution,
};
use streamnest_log::{Acknowledger, EventLog, Filter, Writer};
use streamnest_protocol::native::{
    CancelAccepted, ClientCommand, ErrorFrame, EventsSubscriptionConfirmed, ExecutionStarted, Replay,
    Request, ServerFrame, SignalAccepted, StartAt, StatusResponse, SubscribeEvents, SubscribeExecution,
    SubscriptionConfirmed, SubscriptionName, UnsubscriptionConfirmed,
};
use tokio::time::Instant;

use super::{
    Connection,
    subscription::{EventsView, Source, Subscription, Waiting, open},
};
use crate::{
    access::{Action, Visitor},
    auth::{Rejected, Secret},
    compact::Compact,
    http::error_frame,
    metrics::Transport,
    views::Full,
};

/// When a client comes back who was told that all places are taken.
const AGAIN: Duration = Duration::from_secs(1);

/// A request that takes time. The next one is read when it is done.
pub(super) enum Running {
    Answering(Answering),
    /// Goes on when the log that it needs is open, which another task sees to at this moment.
    Opening {
        opened: BoxFuture<'static, ()>,
        request: Box<Request>,
    },
    /// A token is checked when the key sets are read that it may need, once: by then they may be too old again.
    Reading {
        read: BoxFuture<'static, ()>,
        token: Secret,
        reply_to: Option<String>,
    },
}

/// What a request comes to, and the `id` of its answer.
pub(super) struct Answering {
    answer: BoxFuture<'static, Result<ServerFrame, ControlError>>,
    /// What was answered, while that waits for `after`.
    answered: Option<Result<ServerFrame, ControlError>>,
    /// The client gets what it is owed of this execution before it gets the answer.
    after: Option<ExecutionId>,
    reply_to: Option<String>,
}

impl Connection {
    pub(super) fn on_request(&mut self, request: Request) {
        let Request { id, command } = request;
        tracing::debug!(command = command.command_type(), "request");
        if let ClientCommand::Authentication { token } = &command {
            if let Some(read) = self.shared.auth().and_then(|auth| auth.refresh(token.reveal())) {
                self.running = Some(Running::Reading { read, token: token.reveal().into(), reply_to: id });
                return;
            }
            return self.authenticate(token.reveal(), id.as_deref());
        }
        let Some(visitor) = self.standing.visitor() else {
            return self.refuse_in_answer(&Rejected::Missing, id.as_deref());
        };
        let answer = match command {
            ClientCommand::SubscribeExecution(mut request) => {
                match self.own(&visitor, Action::Read, &request.execution_id) {
                    Ok(execution) => match self.shared.logs.look(&execution) {
                        Poll::Pending => {
                            let command = ClientCommand::SubscribeExecution(request);
                            return self.run_when_open(execution, Request { id, command });
                        }
                        Poll::Ready(writer) => {
                            request.execution_id = execution;
                            self.subscribe(request, writer.as_ref().map(Writer::log), &visitor, id.as_ref())
                        }
                    },
                    Err(refused) => Err(refused),
                }
            }
            ClientCommand::UnsubscribeExecution { execution_id, subscription } => {
                self.unsubscribe(&execution_id, &visitor, subscription)
            }
            ClientCommand::SubscribeEvents(request) => self.subscribe_events(request, &visitor),
            ClientCommand::StartExecution(request) => return self.start(request, &visitor, id),
            ClientCommand::CancelExecution { execution_id, reason } => {
                return self.cancel(&execution_id, reason, &visitor, id);
            }
            ClientCommand::Signal { execution_id, signal } => {
                return self.signal(&execution_id, signal, &visitor, id);
            }
            ClientCommand::Ack { execution_id, subscription, sequence } => {
                match self.acknowledge(&execution_id, &visitor, &subscription, sequence) {
                    Ok(()) => return,
                    Err(refused) => Err(refused),
                }
            }
            ClientCommand::Ping => Ok(ServerFrame::Pong),
            ClientCommand::GetStatus => Ok(self.status()),
            other => {
                let message = format!("this server has no `{}`; leave it out", other.command_type());
                Err(ServerFrame::error("not_supported", message, false))
            }
        };
        let (Ok(frame) | Err(frame)) = answer;
        self.reply(&frame, id.as_deref());
    }

    /// Runs `request` once nobody is opening the log of `execution` any more: after a start many come back to it at once.
    fn run_when_open(&mut self, execution: ExecutionId, request: Request) {
        let logs = self.shared.logs.clone();
        let opened = Box::pin(async move {
            // What is wrong with it shows when the request runs.
            let _ = logs.open(&execution).await;
        });
        self.running = Some(Running::Opening { opened, request: Box::new(request) });
    }

    /// Follows an execution, whose id is the server's own, by its log if there is one.
    fn subscribe(
        &mut self,
        request: SubscribeExecution,
        log: Option<&Arc<EventLog>>,
        visitor: &Visitor,
        id: Option<&String>,
    ) -> Result<ServerFrame, ServerFrame> {
        let options = &self.shared.options;
        let acknowledger = match &request.subscription {
            Some(_) => visitor.acknowledger(&self.shared, &request.execution_id),
            None => Acknowledger::Anyone,
        };
        let filter = Filter::new(&request.events, &request.nodes).map_err(|error| error_frame(&error))?;
        let (execution, name) = (&request.execution_id, request.subscription.as_ref());
        if self.subscriptions.iter().any(|known| known.is(execution, name) && !known.has_ended()) {
            let message =
                format!("execution `{execution}` is followed already; unsubscribe first, or name them");
            return Err(ServerFrame::error("already_subscribed", message, false));
        }
        let delivery = request.delivery.unwrap_or_default();
        let source = match log {
            Some(log) => {
                let cursor = open(log, request.from, name, delivery, &acknowledger);
                Source::Reading(cursor.map_err(|error| error_frame(&error))?)
            }
            None if request.wait => self.wait(&request, delivery, id)?,
            None => return Err(unknown(execution)),
        };
        // What has ended makes room: only this one is kept to be told about.
        self.subscriptions.retain(|known| !known.is(execution, name));
        let limit = options.max_subscriptions;
        if self.subscriptions.len() + usize::from(self.events_view.is_some()) >= limit {
            self.subscriptions.retain(|known| !known.has_ended());
        }
        self.check_room()?;
        if matches!(request.from, Some(StartAt::After(position)) if position != Position::BEFORE_FIRST) {
            self.shared.metrics.resumed(Transport::WebSocket, !std::mem::replace(&mut self.resumed, true));
        }
        let options = &self.shared.options;
        let counted = self.shared.metrics.subscribe();
        let mut subscription =
            Subscription::new(&request, filter, options.flush_window, source, acknowledger, counted);
        // Who waits for an execution misses nothing of it.
        if let (Replay::Compact, Source::Reading(cursor)) = (request.replay, &subscription.source) {
            subscription.compact = Compact::of(cursor, options.max_write_bytes);
        }
        let confirmed = SubscriptionConfirmed {
            execution_id: request.execution_id,
            subscription: request.subscription,
            position: subscription.position(),
            state: subscription.state(),
        };
        if subscription.lag() > 0 {
            self.reads_again();
        }
        self.subscriptions.push(subscription);
        Ok(ServerFrame::SubscriptionConfirmed(confirmed))
    }

    /// The execution that the client means by an id, if it may do that with it.
    fn own(&self, visitor: &Visitor, action: Action, id: &ExecutionId) -> Result<ExecutionId, ServerFrame> {
        visitor.execution(&self.shared, action, id).map_err(|error| ServerFrame::Error((&error).into()))
    }

    /// Checks that one more subscription fits.
    fn check_room(&self) -> Result<(), ServerFrame> {
        let limit = self.shared.options.max_subscriptions;
        if self.subscriptions.len() + usize::from(self.events_view.is_some()) < limit {
            return Ok(());
        }
        let message = format!(
            "connection has {limit} subscriptions, the limit of `GatewayOptions::max_subscriptions`; unsubscribe, or open another"
        );
        Err(ServerFrame::error("too_many_subscriptions", message, false))
    }

    fn too_many_views(&self, full: &Full) -> ServerFrame {
        let options = &self.shared.options;
        let message = |whose: &str, limit: usize, option: &str| {
            format!(
                "{limit} connections of {whose} follow many executions, the limit of `GatewayOptions::{option}`; close one, or try again later"
            )
        };
        again(match full {
            Full::Everybody => {
                let message =
                    message("this server", options.max_event_subscriptions, "max_event_subscriptions");
                ServerFrame::error("too_many_event_views", message, true)
            }
            Full::Share => {
                let limit = options.max_event_subscriptions_per_user;
                let message = message("yours", limit, "max_event_subscriptions_per_user");
                ServerFrame::error("too_many_event_views_of_user", message, true)
            }
        })
    }

    fn wait(
        &self,
        request: &SubscribeExecution,
        delivery: Delivery,
        id: Option<&String>,
    ) -> Result<Source, ServerFrame> {
        let options = &self.shared.options;
        let limit = options.max_waiting_subscriptions;
        if self.subscriptions.iter().filter(|known| known.is_waiting()).count() >= limit {
            let message = format!(
                "connection waits for {limit} executions, the limit of `GatewayOptions::max_waiting_subscriptions`; try again later"
            );
            return Err(again(ServerFrame::error("too_many_waiting_subscriptions", message, true)));
        }
        let (logs, execution) = (self.shared.logs.clone(), request.execution_id.clone());
        Ok(Source::Waiting(Box::new(Waiting {
            log: Box::pin(async move { logs.wait_for(&execution).await }),
            by: Instant::now() + options.wait_timeout,
            // What comes after now is everything.
            from: request.from.filter(|from| *from != StartAt::Now),
            delivery,
            reply_to: id.cloned(),
        })))
    }

    fn unsubscribe(
        &mut self,
        execution_id: &ExecutionId,
        visitor: &Visitor,
        subscription: Option<SubscriptionName>,
    ) -> Result<ServerFrame, ServerFrame> {
        let execution_id = self.own(visitor, Action::Read, execution_id)?;
        let before = self.subscriptions.len();
        self.subscriptions.retain(|known| !known.is(&execution_id, subscription.as_ref()));
        if self.subscriptions.len() == before {
            let message = format!("execution `{execution_id}` is not followed under that name");
            return Err(ServerFrame::error("unknown_subscription", message, false));
        }
        let confirmed = UnsubscriptionConfirmed { execution_id, subscription };
        Ok(ServerFrame::UnsubscriptionConfirmed(confirmed))
    }

    /// Follows event types over many executions. There is one such view of a connection: a new one takes the place of
    /// the one before.
    fn subscribe_events(
        &mut self,
        request: SubscribeEvents,
        visitor: &Visitor,
    ) -> Result<ServerFrame, ServerFrame> {
        if !visitor.reads_any(&self.shared) {
            return Err(follows_nothing());
        }
        if self.events_view.is_none() {
            self.check_room()?;
        }
        let types: Vec<&str> = request.event_types.iter().map(|event_type| event_type.as_str()).collect();
        let nodes: Vec<&str> = request.scope.node_ids.iter().map(|node| node.as_str()).collect();
        let filter = Filter::new(&types, &nodes).map_err(|error| error_frame(&error))?;
        let scope = visitor.scope(&self.shared, &request.scope.execution_ids);
        // The one before is let go first, and its place is kept: the two never hold their cursors at once.
        let place = match self.events_view.take() {
            Some(view) => view.place,
            None => self.shared.event_view(visitor).map_err(|full| self.too_many_views(&full))?,
        };
        let cursor = self.shared.logs.fan_in(filter, scope);
        let SubscribeEvents { event_types, scope } = request;
        let executions = scope.execution_ids.clone();
        self.events_view = Some(Box::new(EventsView { cursor, executions, place }));
        Ok(ServerFrame::EventsSubscriptionConfirmed(EventsSubscriptionConfirmed { event_types, scope }))
    }

    fn start(&mut self, mut request: StartExecution, visitor: &Visitor, reply_to: Option<String>) {
        if self.shared.is_draining() {
            return self.reply(&ServerFrame::Error((&ControlError::Draining).into()), reply_to.as_deref());
        }
        if let Err(exceeded) = self.shared.limits.start(|| self.who()) {
            return self.reply(&exceeded.frame(), reply_to.as_deref());
        }
        request.execution_id = match visitor.to_start(&self.shared, request.execution_id.take()) {
            Ok(id) => id,
            Err(error) => return self.reply(&ServerFrame::Error((&error).into()), reply_to.as_deref()),
        };
        request.trace = request.trace.take().or_else(|| self.trace.as_deref().cloned());
        let (control, owner) = (self.shared.control.clone(), visitor.owner());
        let answer = async move {
            let started = control.start_as(request, owner).await?;
            Ok(ServerFrame::ExecutionStarted(ExecutionStarted {
                execution_id: started.execution_id,
                position: started.position,
                attached: started.attached,
            }))
        };
        self.running = Some(Running::Answering(Answering {
            answer: Box::pin(answer),
            answered: None,
            after: None,
            reply_to,
        }));
    }

    fn cancel(
        &mut self,
        execution_id: &ExecutionId,
        reason: Option<String>,
        visitor: &Visitor,
        reply_to: Option<String>,
    ) {
        let execution_id = match self.own(visitor, Action::Cancel, execution_id) {
            Ok(id) => id,
            Err(error) => return self.reply(&error, reply_to.as_deref()),
        };
        let control = self.shared.control.clone();
        // No token follows a cancel that was accepted: not in the log, and not on this connection.
        let after = Some(execution_id.clone());
        let answer = async move {
            control.cancel(&execution_id, reason).await?;
            Ok(ServerFrame::CancelAccepted(CancelAccepted { execution_id }))
        };
        self.running =
            Some(Running::Answering(Answering { answer: Box::pin(answer), answered: None, after, reply_to }));
    }

    fn signal(
        &mut self,
        execution_id: &ExecutionId,
        signal: Signal,
        visitor: &Visitor,
        reply_to: Option<String>,
    ) {
        let signed = self.own(visitor, Action::Answer, execution_id).and_then(|id| {
            let signal = visitor.sign(signal).map_err(|error| ServerFrame::Error((&error).into()))?;
            Ok((id, signal))
        });
        let (execution_id, signal) = match signed {
            Ok(signed) => signed,
            Err(error) => return self.reply(&error, reply_to.as_deref()),
        };
        let control = self.shared.control.clone();
        let answer = async move {
            let Signalled { ask, repeated } = control.signal(&execution_id, signal).await?;
            Ok(ServerFrame::SignalAccepted(SignalAccepted { execution_id, ask, repeated }))
        };
        self.running = Some(Running::Answering(Answering {
            answer: Box::pin(answer),
            answered: None,
            after: None,
            reply_to,
        }));
    }

    /// Goes on with the request that takes time.
    pub(super) fn poll_running(&mut self, cx: &mut Context<'_>) {
        let running = match &mut self.running {
            None => return,
            Some(Running::Answering(answering)) => answering,
            Some(Running::Opening { opened, .. }) => {
                if opened.as_mut().poll(cx).is_ready()
                    && let Some(Running::Opening { request, .. }) = self.running.take()
                {
                    self.ask_again();
                    self.on_request(*request);
                }
                return;
            }
            Some(Running::Reading { read, .. }) => {
                if read.as_mut().poll(cx).is_ready()
                    && let Some(Running::Reading { token, reply_to, .. }) = self.running.take()
                {
                    self.ask_again();
                    self.authenticate(token.reveal(), reply_to.as_deref());
                }
                return;
            }
        };
        let answer = match running.answered.take() {
            Some(answer) => answer,
            None => match running.answer.as_mut().poll(cx) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return,
            },
        };
        let is_behind =
            |known: &Subscription| running.after.as_ref() == Some(&known.execution) && known.is_behind();
        if answer.is_ok() && self.subscriptions.iter().any(is_behind) {
            // It is asked again when those entries are owed.
            running.answered = Some(answer);
            return;
        }
        let reply_to = running.reply_to.take();
        self.running = None;
        self.ask_again();
        let frame = answer.unwrap_or_else(|error| ServerFrame::Error(ErrorFrame::from(&error)));
        self.reply(&frame, reply_to.as_deref());
    }

    fn acknowledge(
        &self,
        execution: &ExecutionId,
        visitor: &Visitor,
        subscription: &SubscriptionName,
        sequence: Seq,
    ) -> Result<(), ServerFrame> {
        let execution = self.own(visitor, Action::Read, execution)?;
        let log = self.shared.logs.get(&execution).ok_or_else(|| unknown(&execution))?;
        log.acknowledge_as(subscription, sequence, &visitor.acknowledger(&self.shared, &execution))
            .map_err(|error| error_frame(&error))
    }

    fn status(&self) -> ServerFrame {
        let connected_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        ServerFrame::StatusResponse(StatusResponse {
            connection_id: self.listed.id().to_string(),
            connected_ms,
            subscriptions: self.subscriptions.iter().map(Subscription::status).collect(),
        })
    }
}

/// What a client may ask for again once a place is free.
fn again(refusal: ServerFrame) -> ServerFrame {
    match refusal {
        ServerFrame::Error(error) => ServerFrame::Error(error.with_retry_after(AGAIN)),
        other => other,
    }
}

/// A view of many executions would show none of them.
fn follows_nothing() -> ServerFrame {
    let message = "token does not allow to follow executions; it needs the scope `read`";
    ServerFrame::error("forbidden", message, false)
}

fn unknown(execution: &ExecutionId) -> ServerFrame {
    ServerFrame::Error((&ControlError::UnknownExecution { id: execution.clone() }).into())
}

//! One script being played.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::Sleep;

use crate::{
    Delta, Error,
    scripted::script::{Script, ScriptStep},
};

/// One script being played.
pub(super) struct Playback {
    steps: std::vec::IntoIter<ScriptStep>,
    waiting: Option<Pin<Box<Sleep>>>,
    hanging: bool,
}

/// What came of the next step that comes to anything.
pub(super) enum Played {
    Delta(Delta),
    Error(Error),
    End,
}

impl Playback {
    pub(super) fn new(script: Script) -> Self {
        Self { steps: script.into_steps().into_iter(), waiting: None, hanging: false }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Played> {
        loop {
            if self.hanging {
                // Nothing will ever wake this task from here: that is the point.
                return Poll::Pending;
            }
            if let Some(sleep) = &mut self.waiting {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.next() {
                Some(ScriptStep::Say(delta)) => return Poll::Ready(Played::Delta(delta)),
                Some(ScriptStep::Delay(delay)) => self.waiting = Some(Box::pin(tokio::time::sleep(delay))),
                Some(ScriptStep::Fail(error)) => return Poll::Ready(Played::Error(error)),
                Some(ScriptStep::Hang) => self.hanging = true,
                Some(ScriptStep::BreakOff) | None => return Poll::Ready(Played::End),
            }
        }
    }
}

//! Cuts an answer from what a writer writes.

use std::collections::VecDeque;

use crate::{
    FinishReason,
    offline::{
        stop::{Guarded, StopGuard},
        writer::Writer,
    },
};

/// One answer: it has a beginning and an end.
pub(super) struct Answer {
    writer: Writer,
    max_tokens: u32,
    written: u32,
    guard: StopGuard,
    ready: VecDeque<String>,
    finish: Option<FinishReason>,
}

impl Answer {
    pub(super) fn new(writer: Writer, max_tokens: u32, stop: Vec<String>) -> Self {
        let guard = StopGuard::new(stop);
        Self { writer, max_tokens, written: 0, guard, ready: VecDeque::new(), finish: None }
    }

    /// The next token, or why there is none.
    pub(super) fn next(&mut self) -> Result<String, FinishReason> {
        loop {
            if let Some(token) = self.ready.pop_front() {
                return Ok(token);
            }
            if let Some(reason) = &self.finish {
                return Err(reason.clone());
            }
            self.write();
        }
    }

    fn write(&mut self) {
        let word = self.writer.next();
        let blank = if self.written == 0 { "" } else { " " };
        let token = [blank, self.writer.text(word)].concat();
        self.written += 1;
        if self.guard.push(token, &mut self.ready) == Guarded::Stopped {
            self.finish = Some(FinishReason::Stop);
            return;
        }
        // The last fifth is for a sentence to end in.
        let near = u64::from(self.written) * 5 >= u64::from(self.max_tokens) * 4;
        if near && self.writer.ends_sentence(word) {
            self.finish = Some(FinishReason::Stop);
        } else if self.written == self.max_tokens {
            self.finish = Some(FinishReason::Length);
        }
        if self.finish.is_some() {
            self.guard.flush(&mut self.ready);
        }
    }
}

//! Tells an answer at its pace.

use std::{future::poll_fn, task::Poll, time::Duration};

use streamnest_core::Usage;
use tokio::time::{Instant, sleep_until};

use crate::{Delta, offline::answer::Answer};

/// After so many tokens without a wait, the task lets others run: a few microseconds of work.
const TOKENS_PER_TURN: u64 = 32;

/// Tells an answer at its pace.
pub(super) struct Telling {
    answer: Answer,
    /// 0: as fast as it goes.
    tokens_per_second: f64,
    began: Option<Instant>,
    told: u64,
    input_tokens: u64,
    /// What comes after the tokens, last first.
    closing: Option<Vec<Delta>>,
}

impl Telling {
    pub(super) const fn new(answer: Answer, tokens_per_second: f64, input_tokens: u64) -> Self {
        Self { answer, tokens_per_second, began: None, told: 0, input_tokens, closing: None }
    }

    /// The next piece: tokens, the usage, the finish, and then none.
    pub(super) async fn next(&mut self) -> Option<Delta> {
        if let Some(closing) = &mut self.closing {
            return closing.pop();
        }
        match self.answer.next() {
            Ok(token) => {
                self.keep_pace().await;
                self.told += 1;
                Some(Delta::Token(token.into()))
            }
            Err(reason) => {
                self.closing = Some(vec![Delta::Finish(reason)]);
                let (input_tokens, output_tokens) = (self.input_tokens, self.told);
                Some(Delta::Usage(Usage { input_tokens, output_tokens, estimated: true }))
            }
        }
    }

    /// Waits until the next token is due. The times are counted from the beginning, so that errors do not add up.
    async fn keep_pace(&mut self) {
        if self.tokens_per_second > 0.0 {
            let began = *self.began.get_or_insert_with(Instant::now);
            let due = began + Duration::from_secs_f64(self.told as f64 / self.tokens_per_second);
            if due > Instant::now() {
                sleep_until(due).await;
                return;
            }
        }
        if self.told % TOKENS_PER_TURN == TOKENS_PER_TURN - 1 {
            let_others_run().await;
        }
    }
}

/// Comes back at the scheduler's next turn, whatever the runtime.
async fn let_others_run() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

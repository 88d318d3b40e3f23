//! From tokens to frames: filter → processor → batch. Pure; the time comes in as a number.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use regex::Regex;
use serde_json::{Map, Value};
use streamnest_core::{MessageId, TokenDelta, payload};
use tokio::time::Instant;

use super::At;
use super::json_text::JsonText;
use crate::{TokenFormat, TokenMetadata, TokenOptions};

/// The shortest time between two values of `format = "json"`.
const VALUE_EVERY: Duration = Duration::from_millis(200);

/// A node's token options, ready to be used.
#[derive(Debug)]
pub(crate) struct TokenPlan {
    pub(crate) options: TokenOptions,
    pub(crate) buffer_size: usize,
    pub(crate) pattern: Option<Regex>,
    /// The longest text of one frame, in bytes. A longer token is cut.
    pub(crate) max_content_bytes: usize,
}

/// The tokens of one message that have no frame yet.
#[derive(Debug)]
pub(crate) struct TokenBuffer {
    plan: Arc<TokenPlan>,
    buffer_size: usize,
    message: MessageId,
    at: At,
    role: Option<String>,
    next_index: u64,
    /// Dropped since the last token that was not.
    filtered: u64,
    started: bool,
    blank: Option<Box<Piece>>,
    /// What waits for a frame: the last one, which may still grow, and those before it. Most frames are alone, and then
    /// they wait in here and nowhere else.
    last: Option<Piece>,
    full: Vec<Piece>,
    /// How many tokens those pieces are.
    waiting_tokens: usize,
    flush_at: Option<Instant>,
    json: Option<Box<JsonText>>,
    valued_at: Option<Instant>,
    /// The bytes of a character of which the rest is still to come.
    partial: Vec<u8>,
    /// Whether the user's processor panicked. Its token went on unprocessed.
    processor_panicked: bool,
}

/// One token with the blanks before it, or several that share a frame.
#[derive(Debug)]
struct Piece {
    content: String,
    index: u64,
    count: u32,
    filtered: u64,
    kind: Option<String>,
    logprob: Option<f64>,
    metadata: Option<Map<String, Value>>,
}

impl TokenBuffer {
    pub(crate) fn new(
        plan: Arc<TokenPlan>,
        buffer_size: Option<usize>,
        message: MessageId,
        role: Option<String>,
        at: At,
    ) -> Self {
        Self {
            buffer_size: buffer_size.unwrap_or(plan.buffer_size),
            json: (plan.options.format == TokenFormat::Json).then(Box::default),
            plan,
            message,
            at,
            role,
            next_index: 0,
            filtered: 0,
            started: false,
            blank: None,
            last: None,
            full: Vec::new(),
            waiting_tokens: 0,
            flush_at: None,
            valued_at: None,
            partial: Vec::new(),
            processor_panicked: false,
        }
    }

    /// When the waiting tokens are due.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.flush_at
    }

    /// Whether the user's processor has panicked.
    pub(crate) const fn processor_panicked(&self) -> bool {
        self.processor_panicked
    }

    /// Takes a token; `now` tells the time if it is asked.
    pub(crate) fn push(
        &mut self,
        token: TokenDelta,
        now: impl Fn() -> Instant,
        out: &mut Vec<payload::Token>,
    ) {
        let index = self.next_index;
        self.next_index += 1;
        if !self.passes(&token.content) {
            self.filtered += 1;
            return;
        }
        let TokenDelta { content, kind, logprob, metadata } = token;
        let filtered = std::mem::take(&mut self.filtered);
        let mut piece = Piece { content, index, count: 1, filtered, kind, logprob, metadata };
        if let Some(mut blank) = self.blank.take() {
            blank.absorb(piece);
            piece = *blank;
        }
        if self.plan.options.filter.exclude_whitespace
            && piece.content.chars().all(char::is_whitespace)
            // A blank that fills a frame waits no longer for a word.
            && piece.content.len() < self.plan.max_content_bytes
        {
            self.blank = Some(Box::new(piece));
            return;
        }
        self.keep(piece);
        // The first token of a message never waits.
        if !self.started || self.waiting_tokens >= self.buffer_size {
            self.started = true;
            self.flush(&now, out);
        } else if self.flush_at.is_none() {
            // Room for the next ones, so that the text does not move with each.
            if let Some(Piece { content, .. }) = &mut self.last {
                content.reserve_exact(2 * content.len());
            }
            // An interval that is longer than time lasts is never over.
            self.flush_at = now().checked_add(self.plan.options.flush_interval);
        }
    }

    /// Takes bytes of text, which may end within a character.
    pub(crate) fn push_bytes(
        &mut self,
        bytes: &[u8],
        now: impl Fn() -> Instant,
        out: &mut Vec<payload::Token>,
    ) {
        if self.partial.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            if !text.is_empty() {
                self.push(text.into(), now, out);
            }
            return;
        }
        self.partial.extend_from_slice(bytes);
        let whole = self.partial.len() - unfinished(&self.partial);
        let rest = self.partial.split_off(whole);
        let whole = std::mem::replace(&mut self.partial, rest);
        if !whole.is_empty() {
            self.push(String::from_utf8_lossy(&whole).into_owned().into(), now, out);
        }
    }

    /// Frames for all that waits.
    pub(crate) fn flush(&mut self, now: &impl Fn() -> Instant, out: &mut Vec<payload::Token>) {
        self.flush_at = None;
        let Some(last) = self.last.take() else { return };
        self.waiting_tokens = 0;
        let full = std::mem::take(&mut self.full);
        out.extend(full.into_iter().map(|piece| self.frame(piece)));
        out.push(self.frame(last));
        if let (Some(json), Some(last)) = (&self.json, out.last_mut()) {
            let now = now();
            if self.valued_at.is_none_or(|at| now.duration_since(at) >= VALUE_EVERY) {
                self.valued_at = Some(now);
                last.value = json.value();
            }
        }
    }

    fn frame(&self, piece: Piece) -> payload::Token {
        let options = &self.plan.options;
        let structured = options.format == TokenFormat::Structured;
        payload::Token {
            content: piece.content,
            index: piece.index,
            count: piece.count,
            filtered: piece.filtered,
            visit: self.at.visit,
            attempt: self.at.attempt,
            item: self.at.item,
            message: Some(self.message),
            value: None,
            complete: None,
            role: if structured { self.role.clone() } else { None },
            logprob: piece.logprob.filter(|_| structured),
            kind: piece.kind.filter(|_| structured),
            metadata: piece.metadata.filter(|_| options.include_metadata),
        }
    }

    /// Frames for all that waits, also for a last blank: the message has ended, whole or not.
    pub(crate) fn finish(&mut self, now: &impl Fn() -> Instant, out: &mut Vec<payload::Token>) {
        if !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.push(String::from_utf8_lossy(&rest).into_owned().into(), now, out);
        }
        if let Some(blank) = self.blank.take() {
            self.keep(*blank);
        }
        let before = out.len();
        self.flush(now, out);
        if out.len() == before && (self.filtered > 0 || (self.json.is_some() && self.next_index > 0)) {
            out.push(payload::Token {
                index: self.next_index,
                visit: self.at.visit,
                attempt: self.at.attempt,
                item: self.at.item,
                message: Some(self.message),
                ..payload::Token::default()
            });
        }
        if let Some(last) = out.get_mut(before..).and_then(<[_]>::last_mut) {
            last.filtered += std::mem::take(&mut self.filtered);
            if let Some(json) = &self.json {
                last.value = json.value();
                last.complete = Some(json.is_complete());
            }
        }
    }

    fn passes(&self, content: &str) -> bool {
        let filter = &self.plan.options.filter;
        let bounded = filter.min_length.is_some() || filter.max_length.is_some();
        let length = if bounded { content.chars().count() } else { 0 };
        filter.min_length.is_none_or(|min| length >= min)
            && filter.max_length.is_none_or(|max| length <= max)
            && self.plan.pattern.as_ref().is_none_or(|pattern| pattern.is_match(content))
    }

    /// Processes a token and lets it wait, in pieces if it is too long for one frame.
    fn keep(&mut self, mut piece: Piece) {
        if let Some(processor) = self.plan.options.processor {
            let metadata = TokenMetadata {
                index: piece.index,
                message: self.message,
                visit: self.at.visit,
                role: self.role.clone(),
                kind: piece.kind.clone(),
                logprob: piece.logprob,
                metadata: piece.metadata.clone(),
            };
            match catch_unwind(AssertUnwindSafe(|| processor(&piece.content, &metadata))) {
                Ok(processed) => piece.content = processed,
                Err(_) => self.processor_panicked = true,
            }
        }
        if let Some(json) = &mut self.json {
            json.push(&piece.content);
        }
        self.waiting_tokens += usize::try_from(piece.count).unwrap_or(usize::MAX);
        while piece.content.len() > self.plan.max_content_bytes {
            let rest =
                piece.content.split_off(piece.content.floor_char_boundary(self.plan.max_content_bytes));
            // The token was counted with its beginning; what follows stands before the next one.
            let rest = Piece {
                content: rest,
                index: self.next_index - self.filtered,
                count: 0,
                filtered: 0,
                kind: piece.kind.clone(),
                logprob: None,
                metadata: piece.metadata.clone(),
            };
            let beginning = std::mem::replace(&mut piece, rest);
            self.wait(beginning);
        }
        self.wait(piece);
    }

    /// Lets a piece wait, within the frame before it if that has room.
    fn wait(&mut self, piece: Piece) {
        let TokenOptions { format, include_metadata, batch_size, .. } = self.plan.options;
        let batch_size = u32::try_from(batch_size).unwrap_or(u32::MAX);
        let joins = |last: &Piece| {
            last.count.saturating_add(piece.count) <= batch_size
                && last.content.len() + piece.content.len() <= self.plan.max_content_bytes
                && (format != TokenFormat::Structured || last.kind == piece.kind)
                && (!include_metadata || last.metadata == piece.metadata)
        };
        match &mut self.last {
            Some(last) if joins(last) => {
                last.content.push_str(&piece.content);
                last.count += piece.count;
                last.filtered += piece.filtered;
                // The probability of a text is the product of its tokens', if all are known.
                last.logprob = last.logprob.zip(piece.logprob).map(|(a, b)| a + b);
            }
            last => self.full.extend(last.replace(piece)),
        }
    }
}

impl Piece {
    /// Takes in the token after it.
    fn absorb(&mut self, next: Self) {
        self.content.push_str(&next.content);
        self.count += next.count;
        self.filtered += next.filtered;
        self.kind = next.kind;
        self.logprob = self.logprob.zip(next.logprob).map(|(a, b)| a + b);
        self.metadata = next.metadata.or(self.metadata.take());
    }
}

/// How many bytes at the end of `bytes` begin a character that is not whole yet.
fn unfinished(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let Some(wrong) = error.error_len() else { return rest.len() - error.valid_up_to() };
        rest = rest.get(error.valid_up_to() + wrong..).unwrap_or_default();
    }
    0
}

#[cfg(test)]
mod tests;

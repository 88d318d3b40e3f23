//! What a connection is owed, and the one place where it is written.

use std::{
    io::{self, IoSlice},
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{io::Socket, metrics::Traffic};

/// The most pieces of one write.
const SLICES: usize = 128;
/// Places for pieces that are kept while nothing is owed; what a burst needed more is given back.
const KEPT_PLACES: usize = 8;

/// Whole WebSocket frames in order, partly written. Each piece holds one or more frames.
#[derive(Default)]
pub(super) struct Owed {
    pieces: Vec<Bytes>,
    /// The pieces that are written, and what of the next one is.
    done: usize,
    offset: usize,
}

/// How a write went.
pub(super) enum Written {
    /// Nothing is owed any more.
    All,
    /// The socket takes no more now.
    Blocked {
        /// Whether it took some.
        progress: bool,
    },
}

impl Owed {
    pub(super) const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn push(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.pieces.push(frames);
        }
    }

    /// Where shared frames are added.
    pub(super) const fn pieces(&mut self) -> &mut Vec<Bytes> {
        &mut self.pieces
    }

    /// Writes as much as the socket takes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        traffic: &mut Traffic,
    ) -> io::Result<Written> {
        let mut progress = false;
        while !self.pieces.is_empty() {
            match self.poll_write_some(cx, socket) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    progress = true;
                    traffic.add(written);
                    self.advance(written);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Written::Blocked { progress }),
            }
        }
        Ok(Written::All)
    }

    fn poll_write_some(&self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<usize>> {
        let left = self.pieces.get(self.done..).unwrap_or_default();
        // The usual case while a run goes on, one new entry: a plain send spares the kernel the vector.
        if let [piece] = left {
            return socket.poll_write(cx, piece.get(self.offset..).unwrap_or_default());
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut skip = self.offset;
        for (slice, piece) in slices.iter_mut().zip(left) {
            *slice = IoSlice::new(piece.get(skip..).unwrap_or_default());
            skip = 0;
        }
        socket.poll_write_vectored(cx, slices.get(..left.len()).unwrap_or(&slices))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.get_mut(self.done) {
            let left = piece.len() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            // Its memory may be the last of entries that the log no longer keeps.
            drop(mem::take(piece));
            self.done += 1;
            self.offset = 0;
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.pieces.shrink_to(KEPT_PLACES);
        (self.done, self.offset) = (0, 0);
    }

    /// Owes no more than the rest of the frame that is being written: the next byte after it begins a frame.
    pub(super) fn cut(&mut self) {
        let begun = match self.pieces.get(self.done) {
            Some(piece) if self.offset > 0 => piece.slice(..frame_end(piece, self.offset)),
            _ => Bytes::new(),
        };
        let offset = self.offset;
        self.clear();
        if begun.len() > offset {
            self.pieces.push(begun);
            self.offset = offset;
        }
    }
}

/// The end of the first frame in `frames` that does not end before `at` (RFC 6455 §5.2, unmasked).
fn frame_end(frames: &[u8], at: usize) -> usize {
    let mut end = 0;
    while end < at {
        let length = match *frames.get(end..).unwrap_or_default() {
            [_, 127, a, b, c, d, e, f, g, h, ..] => {
                10 + usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).unwrap_or(usize::MAX)
            }
            [_, 126, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
            [_, short, ..] => 2 + usize::from(short),
            _ => return frames.len(),
        };
        end = end.saturating_add(length);
    }
    end.min(frames.len())
}

#[cfg(test)]
mod tests;

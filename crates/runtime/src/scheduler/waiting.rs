//! What waits at a join of all, and whether something can still come.

use std::collections::VecDeque;

use super::Seen;
use crate::graph::Join;

/// What waits at a join: a queue for each input, and one for the begin, which is the last.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    queues: Vec<VecDeque<(T, Seen)>>,
    /// How many inputs hold something, the begin not counted.
    held: usize,
    arrivals: usize,
    /// Where tokens are that can still come, by the number of their [origin](Join).
    origins: Vec<Origin>,
    /// How many origins have a token and lead to an empty input.
    open: usize,
    /// How often a count of an origin has changed.
    #[cfg(test)]
    pub(super) changes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    tokens: usize,
    /// How many of the inputs to which it leads are empty.
    empty: usize,
}

impl Origin {
    const fn is_open(self) -> bool {
        self.tokens > 0 && self.empty > 0
    }
}

impl<T> Waiting<T> {
    pub(super) fn at(join: &Join) -> Self {
        let queues = if join.any { 0 } else { join.inputs.len() + 1 };
        let origins = join.origins.iter().map(|inputs| Origin { tokens: 0, empty: inputs.len() });
        Self {
            queues: (0..queues).map(|_| VecDeque::new()).collect(),
            held: 0,
            arrivals: 0,
            origins: origins.collect(),
            open: 0,
            #[cfg(test)]
            changes: 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.arrivals == 0
    }

    /// Whether every input but the begin holds something.
    pub(super) const fn is_full(&self) -> bool {
        self.held + 1 == self.queues.len()
    }

    /// Whether something waits, and nothing can come any more to the inputs that are empty.
    pub(super) const fn is_in_vain(&self) -> bool {
        self.arrivals > 0 && self.open == 0
    }

    /// A token has come to a node of this origin, or has left one.
    pub(super) fn count(&mut self, origin: usize, comes: bool) {
        self.change(origin, |origin| origin.tokens = moved(origin.tokens, comes));
    }

    /// An input has become empty, or is so no more.
    fn turn(&mut self, join: &Join, input: usize, empty: bool) {
        self.held = moved(self.held, !empty);
        for origin in join.origins_of.get(input).into_iter().flatten() {
            self.change(*origin, |origin| origin.empty = moved(origin.empty, empty));
        }
    }

    fn change(&mut self, origin: usize, change: impl FnOnce(&mut Origin)) {
        #[cfg(test)]
        {
            self.changes += 1;
        }
        let Some(origin) = self.origins.get_mut(origin) else { return };
        let was_open = origin.is_open();
        change(origin);
        if was_open != origin.is_open() {
            self.open = moved(self.open, !was_open);
        }
    }

    /// Takes what arrives at an input, or by the begin.
    pub(super) fn push(&mut self, join: &Join, input: Option<usize>, arrival: (T, Seen)) {
        let Some(queue) = self.queues.get_mut(input.unwrap_or(join.inputs.len())) else { return };
        queue.push_back(arrival);
        self.arrivals += 1;
        let fills = queue.len() == 1;
        if let Some(input) = input.filter(|_| fills) {
            self.turn(join, input, false);
        }
    }

    /// Takes the oldest arrival of every input that has one, in the order of the inputs.
    pub(super) fn pop(&mut self, join: &Join) -> Vec<(T, Seen)> {
        let mut popped = Vec::with_capacity(self.held + 1);
        self.each_queue(join, |queue| popped.extend(queue.pop_front()));
        popped
    }

    /// Drops all that `which` names; how many those were.
    pub(super) fn drop_all(&mut self, join: &Join, which: impl Fn(&(T, Seen)) -> bool) -> usize {
        let before = self.arrivals;
        self.each_queue(join, |queue| queue.retain(|arrival| !which(arrival)));
        before - self.arrivals
    }

    fn each_queue(&mut self, join: &Join, mut take: impl FnMut(&mut VecDeque<(T, Seen)>)) {
        for input in 0..self.queues.len() {
            let Some(queue) = self.queues.get_mut(input).filter(|queue| !queue.is_empty()) else { continue };
            let before = queue.len();
            take(queue);
            self.arrivals -= before - queue.len();
            let empties = queue.is_empty() && input < join.inputs.len();
            if empties {
                self.turn(join, input, true);
            }
        }
    }
}

const fn moved(count: usize, more: bool) -> usize {
    if more { count + 1 } else { count.saturating_sub(1) }
}

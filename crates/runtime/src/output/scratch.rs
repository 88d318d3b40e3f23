//! Memory that an output needs for a moment only.
//!
//! It belongs to the thread, not to the output: with a thousand runs that take turns, memory of each output's own would have
//! left the processor's cache each time.

use std::{
    cell::Cell,
    mem,
    ops::{Deref, DerefMut},
    thread::LocalKey,
};

use streamnest_core::{Event, payload};

thread_local! {
    static FRAMES: Cell<Vec<payload::Token>> = const { Cell::new(Vec::new()) };
    static EVENTS: Cell<Vec<Event>> = const { Cell::new(Vec::new()) };
}

/// What a vector may hold for its memory to be kept for the next use.
const KEPT: usize = 256;

/// An empty vector of this thread's; given back, emptied, when it is dropped. Who asks while another has it gets a new one.
pub(super) struct Scratch<T: 'static> {
    home: &'static LocalKey<Cell<Vec<T>>>,
    vector: Vec<T>,
}

/// For frames on their way to events.
pub(super) fn frames() -> Scratch<payload::Token> {
    Scratch::of(&FRAMES)
}

/// For the events of one append.
pub(super) fn events() -> Scratch<Event> {
    Scratch::of(&EVENTS)
}

impl<T> Scratch<T> {
    fn of(home: &'static LocalKey<Cell<Vec<T>>>) -> Self {
        Self { home, vector: home.try_with(Cell::take).unwrap_or_default() }
    }
}

impl<T> Deref for Scratch<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Self::Target {
        &self.vector
    }
}

impl<T> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.vector
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let mut vector = mem::take(&mut self.vector);
        vector.clear();
        if vector.capacity() <= KEPT {
            // A thread that ends has no use for it.
            let _ = self.home.try_with(|home| home.set(vector));
        }
    }
}

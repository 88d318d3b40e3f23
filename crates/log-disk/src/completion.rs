//! A result that a thread brings and a task awaits.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

/// The side that brings the result. If it is dropped without one, the other side gets `None`.
#[derive(Debug)]
pub(crate) struct Promise<T>(Arc<Mutex<Slot<T>>>);

/// The side that awaits it.
#[derive(Debug)]
pub(crate) struct Completion<T>(Arc<Mutex<Slot<T>>>);

#[derive(Debug)]
enum Slot<T> {
    Empty(Option<Waker>),
    Done(Option<T>),
}

/// Two sides of one result.
pub(crate) fn pair<T>() -> (Promise<T>, Completion<T>) {
    let slot = Arc::new(Mutex::new(Slot::Empty(None)));
    (Promise(slot.clone()), Completion(slot))
}

impl<T> Promise<T> {
    /// Brings the result.
    pub(crate) fn keep(self, value: T) {
        put(&self.0, Some(value));
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        put(&self.0, None);
    }
}

/// Puts a result in its place, unless there is one.
fn put<T>(slot: &Mutex<Slot<T>>, value: Option<T>) {
    let waker = {
        let mut slot = lock(slot);
        match &mut *slot {
            Slot::Done(_) => return,
            Slot::Empty(waker) => {
                let waker = waker.take();
                *slot = Slot::Done(value);
                waker
            }
        }
    };
    waker.into_iter().for_each(Waker::wake);
}

impl<T> Future for Completion<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut *lock(&self.0) {
            Slot::Done(value) => Poll::Ready(mem::take(value)),
            Slot::Empty(waker) => {
                if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Completion<T> {
    /// Waits for the result on this thread.
    pub(crate) fn wait(mut self) -> Option<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut cx) {
                Poll::Ready(value) => return value,
                Poll::Pending => thread::park(),
            }
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

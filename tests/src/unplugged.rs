//! A peer whose packets vanish.

use std::os::fd::AsFd;

use socket2::{SockFilter, SockRef};

/// `ret #0`, the filter that takes nothing (Linux, `Documentation/networking/filter.rst`).
const NOTHING: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

/// From now on nothing that is sent to `stream` arrives: the kernel throws each packet away before it is looked at, and
/// acknowledges none, as if the cable had been pulled. While its owner keeps it and writes nothing, the other side hears nothing
/// either.
///
/// # Panics
/// On systems other than Linux.
pub fn unplug(stream: &impl AsFd) {
    SockRef::from(stream).attach_filter(&NOTHING).expect("these tests run on Linux");
}

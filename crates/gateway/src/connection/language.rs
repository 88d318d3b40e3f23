//! What the messages of a client mean.

/// How a connection and its client speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    /// By the native protocol.
    Native,
    /// What one says the other repeats.
    #[cfg(feature = "echo")]
    Echo,
}

//! Cross-crate behaviour.

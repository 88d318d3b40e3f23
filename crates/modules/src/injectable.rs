//! Types that say themselves what they are made of.

use crate::Provider;

/// A type that says itself what it is made of.
///
/// `#[injectable]` writes this. By hand:
///
/// ```
/// use std::sync::Arc;
/// use streamnest_modules::{Injectable, Provider};
///
/// struct Clock;
///
/// struct Journal {
///     clock: Arc<Clock>,
///     title: Option<Arc<String>>,
/// }
///
/// impl Injectable for Journal {
///     fn provider() -> Provider<Self> {
///         Provider::new(|given| Ok(Self { clock: given.field("clock")?, title: given.field("title")? }))
///             .needs::<Arc<Clock>>("clock")
///             .needs_named::<Option<Arc<String>>>("title", "title")
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it is made of",
    label = "is no injectable",
    note = "put `#[injectable]` on the struct, or provide it by `value(…)` or `factory(…)`"
)]
pub trait Injectable: Send + Sync + Sized + 'static {
    /// How it is made.
    fn provider() -> Provider<Self>;
}

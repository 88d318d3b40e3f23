//! What the model calls of an execution came to.

use serde::{Deserialize, Serialize};

/// What the model calls of an execution came to. Calls count when they have ended, also those of attempts that were tried again.
///
/// ```
/// use streamnest_core::Cost;
///
/// let cost = Cost { calls: 2, nano_usd: Some(1_500), unpriced: 1, ..Cost::default() };
/// assert_eq!(cost.priced(), 1, "what the other one came to is not known");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Calls of models.
    pub calls: u64,
    /// Tokens of their prompts, of those calls that told.
    pub input_tokens: u64,
    /// Tokens of their answers, of those calls that told.
    pub output_tokens: u64,
    /// Whether some of these counts are not the provider's own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// The price of those calls whose price is known, in nano-USD (10⁻⁹ USD). `None` if that of none is: what is not known is not
    /// free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// Calls of models that have no price.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: u64,
    /// Calls that did not tell what they used, for they were broken off, or for the model does not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreported: u64,
    /// Whether more may have been called and spent than is told here: the server stopped while the execution was running, and what it
    /// knew of its calls went with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomplete: bool,
}

impl Cost {
    /// Calls whose price is in [`nano_usd`](Self::nano_usd).
    pub const fn priced(&self) -> u64 {
        self.calls.saturating_sub(self.unpriced).saturating_sub(self.unreported)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

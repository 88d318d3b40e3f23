//! What the three stream attributes of a node say.

mod event;
mod progress;
mod token;

pub(crate) use event::names;
pub use event::{EventFilter, EventOptions};
pub use progress::{Granularity, ProgressFormat, ProgressMetadata, ProgressOptions};
pub use token::{TokenFilter, TokenFormat, TokenMetadata, TokenOptions};

/// Writes a setter for each field.
macro_rules! setters {
    ($type:ident { $($setter:ident $field:ident: $value:ty,)* }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}
pub(crate) use setters;

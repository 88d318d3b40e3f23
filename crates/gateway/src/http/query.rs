//! The part of an address after the `?`.

use std::str::FromStr;

use axum::extract::Query as Pairs;
use http::{StatusCode, Uri};

use super::{Refusal, reply::quote};

/// The parameters of a request, taken one by one. Strict: one that is not known is refused by name, so that a misspelt
/// filter is never ignored.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads the parameters of `uri`, each of which has to be one of `known`.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| invalid(format!("query cannot be read: {error}")))?;
        if let Some((unknown, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let message =
                format!("there is no parameter `{}`; parameters: {}", quote(unknown), known.join(", "));
            return Err(invalid(message));
        }
        Ok(Self { pairs })
    }

    /// Takes a parameter that may stand once.
    pub(crate) fn one<T: FromStr>(&self, name: &str, legal: &str) -> Result<Option<T>, Refusal> {
        let mut values = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(invalid(format!("parameter `{name}` may stand once only")));
        }
        let parsed = value.parse();
        let refused = |_| invalid(format!("parameter `{name}` is `{}`, but has to be {legal}", quote(value)));
        parsed.map(Some).map_err(refused)
    }

    /// Takes a list, whose items are separated by commas or stand in several parameters.
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect()
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message)
}

//! The values of options: counts, durations, choices, strings and lists.

use std::time::Duration;

use proc_macro2::TokenStream;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitStr, Token, UnOp, parse::Parser, punctuated::Punctuated};

use super::args::{Arg, text, ungroup};
use crate::{report::Report, suggest};

/// The units of a duration and their nanoseconds.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];
const UNIT_LIST: &str = "units: ns, us, ms, s, min, h";

impl Arg<'_> {
    /// A whole number of at least `least`.
    pub(crate) fn count(&self, least: u64, most: u64) -> syn::Result<u64> {
        let value = self.expression()?;
        let name = &self.name;
        let range =
            if most == u64::MAX { format!("of at least {least}") } else { format!("from {least} to {most}") };
        let example = self.option.example;
        let wrong = |why: &str| {
            let message =
                format!("`{name} = {}` {why}; write a whole number {range}, as in `{example}`", text(&value));
            Err(syn::Error::new_spanned(&value, message))
        };
        match &value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.suffix().is_empty() => {
                match number.base10_parse::<u64>() {
                    Ok(count) if (least..=most).contains(&count) => Ok(count),
                    _ => wrong("is out of range"),
                }
            }
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), .. }) => wrong("is out of range"),
            Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => wrong("is text"),
            _ => wrong("is no count"),
        }
    }

    /// A number from 0 to 1.
    pub(crate) fn share(&self) -> syn::Result<f64> {
        let value = self.expression()?;
        let number = match &value {
            Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse::<f64>().ok(),
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<f64>().ok(),
            _ => None,
        };
        number.filter(|number| (0.0..=1.0).contains(number)).ok_or_else(|| {
            let (name, example) = (&self.name, self.option.example);
            let message = format!(
                "`{name} = {}` is no share; write a number from 0 to 1, as in `{example}`",
                text(&value)
            );
            syn::Error::new_spanned(&value, message)
        })
    }

    /// A duration with its unit, as in `"100ms"`.
    pub(crate) fn duration(&self, zero: Zero) -> syn::Result<Duration> {
        let value = self.expression()?;
        let name = &self.name;
        let fail = |why: String| {
            let message = format!("`{name} = {}` {why}", text(&value));
            Err(syn::Error::new_spanned(&value, message))
        };
        let unit = usual_unit(self.option.example);
        match &value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.suffix().is_empty() => {
                fail(format!("has no unit; write \"{number}{unit}\" ({UNIT_LIST})"))
            }
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => {
                fail(format!("has no quotes; write \"{number}\" ({UNIT_LIST})"))
            }
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => match parse_duration(&literal.value(), unit)
            {
                Ok(duration) if duration.is_zero() && zero == Zero::Refused => {
                    fail("is no time at all; write a duration above zero, or leave the option out".into())
                }
                Ok(duration) => Ok(duration),
                Err(why) => fail(why),
            },
            _ => fail(format!("is no duration; write a number and its unit, as in \"100ms\" ({UNIT_LIST})")),
        }
    }

    /// One of a few words in quotes.
    pub(crate) fn choice<T: Copy>(&self, legal: &[(&'static str, T)]) -> syn::Result<T> {
        let value = self.expression()?;
        let name = &self.name;
        let names = || legal.iter().map(|(word, _)| *word);
        let values = suggest::list(legal.iter().map(|(word, _)| *word));
        let fail = |why: String| Err(syn::Error::new_spanned(&value, why));
        let word = match &value {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => literal.value(),
            Expr::Path(path) => {
                let word = text(path);
                let near = suggest::nearest(&word, names()).unwrap_or(&word);
                return fail(format!(
                    "`{name} = {word}` has no quotes; write `{name} = \"{near}\"`, one of: {values}"
                ));
            }
            other => return fail(format!("`{name} = {}` is none of: {values}", text(other))),
        };
        match legal.iter().find(|(legal, _)| *legal == word) {
            Some((_, choice)) => Ok(*choice),
            None => {
                let hint = match suggest::nearest(&word, names()) {
                    Some(near) => format!("did you mean \"{near}\"? "),
                    None => String::new(),
                };
                fail(format!("`{name} = \"{word}\"` is not known; {hint}values: {values}"))
            }
        }
    }

    /// Text in quotes that is not empty.
    pub(crate) fn string(&self) -> syn::Result<LitStr> {
        let value = self.expression()?;
        let (name, example) = (&self.name, self.option.example);
        match value {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) if literal.value().trim().is_empty() => {
                Err(syn::Error::new_spanned(literal, format!("`{name}` is empty; write `{example}`")))
            }
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => Ok(literal),
            other => {
                let message = format!("`{name} = {}` is no text in quotes; write `{example}`", text(&other));
                Err(syn::Error::new_spanned(other, message))
            }
        }
    }

    /// A function: its path, or a closure that captures nothing.
    pub(crate) fn function(&self, signature: &str) -> syn::Result<Expr> {
        let value = self.expression()?;
        match value {
            Expr::Path(_) | Expr::Closure(_) => Ok(value),
            other => {
                let (name, example) = (&self.name, self.option.example);
                let message = format!(
                    "`{name} = {}` is no function; name one of type `{signature}`, as in `{example}`",
                    text(&other)
                );
                Err(syn::Error::new_spanned(other, message))
            }
        }
    }
}

/// Whether a duration of nothing means something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// It does.
    Allowed,
    /// It does not.
    Refused,
}

/// The unit of the duration in an example.
fn usual_unit(example: &str) -> &str {
    let value = example.trim_end_matches('"');
    let digits = value.rfind(|c: char| c.is_ascii_digit()).map_or(0, |last| last + 1);
    value.get(digits..).unwrap_or("ms")
}

fn parse_duration(text: &str, unit_hint: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let example = || format!("write a number and its unit, as in \"100ms\" ({UNIT_LIST})");
    if number.is_empty() {
        return Err(format!("is no duration; {}", example()));
    }
    if unit.is_empty() {
        return Err(format!("has no unit; write \"{number}{unit_hint}\" ({UNIT_LIST})"));
    }
    if unit.starts_with('.') {
        return Err(format!(
            "is no whole number; use a smaller unit, as in \"1500ms\" for 1.5 seconds ({UNIT_LIST})"
        ));
    }
    let Some((_, scale)) = UNITS.iter().find(|(known, _)| *known == unit) else {
        let bare = unit.trim();
        let near = match bare {
            "m" | "mins" | "minute" | "minutes" => Some("min"),
            "sec" | "secs" | "second" | "seconds" => Some("s"),
            "msec" | "millis" | "milliseconds" => Some("ms"),
            "µs" | "μs" | "micros" => Some("us"),
            "hour" | "hours" | "hr" => Some("h"),
            other => UNITS.iter().map(|(known, _)| *known).find(|known| *known == other),
        };
        let hint = near.map_or_else(String::new, |near| format!("did you mean \"{number}{near}\"? "));
        return Err(format!("has the unknown unit `{unit}`; {hint}{UNIT_LIST}"));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*scale))
        .map(Duration::from_nanos)
        .ok_or_else(|| "is longer than 500 years; write less, or leave the option out".into())
}

/// The literals of a list of names in quotes.
pub(crate) fn strings(tokens: TokenStream, arg: &Arg<'_>, report: &mut Report) -> Vec<LitStr> {
    let mut found: Vec<LitStr> = Vec::new();
    for item in expressions(tokens, arg, report) {
        match item {
            Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => found.push(literal),
            other => {
                let (name, example) = (&arg.name, arg.option.example);
                let message =
                    format!("`{}` in `{name}(…)` is no text in quotes; write `{example}`", text(&other));
                report.at(other, message);
            }
        }
    }
    found
}

/// The items of a list.
pub(crate) fn expressions(tokens: TokenStream, arg: &Arg<'_>, report: &mut Report) -> Vec<Expr> {
    let (name, example) = (&arg.name, arg.option.example);
    if tokens.is_empty() {
        report.at(name, format!("`{name}()` lists nothing; write `{example}`, or leave the option out"));
        return Vec::new();
    }
    match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(items) => items.into_iter().map(ungroup).collect(),
        Err(error) => {
            report.span(
                error.span(),
                format!("the list of `{name}` does not parse ({error}); write `{example}`"),
            );
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_understood() {
        for (text, nanos) in [
            ("7ns", 7),
            ("7us", 7_000),
            ("100ms", 100_000_000),
            ("5s", 5_000_000_000),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0ms", 0),
        ] {
            assert_eq!(parse_duration(text, "ms"), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_is_told_how_it_is_written() {
        let message = |text| parse_duration(text, "ms").unwrap_err();
        assert!(message("100").contains("write \"100ms\""));
        assert!(message("5m").contains("did you mean \"5min\"?"));
        assert!(message("100 ms").contains("did you mean \"100ms\"?"));
        assert!(message("1.5s").contains("1500ms"));
        assert!(message("soon").contains("no duration"));
        assert!(message("-5s").contains("no duration"));
        assert!(message("99999999999h").contains("500 years"));
    }
}

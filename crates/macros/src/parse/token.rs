//! `#[stream_token(…)]`.

use proc_macro2::TokenStream;
use syn::LitStr;

use super::{
    args::{self, Arg, Owner},
    value::Zero,
};
use crate::{
    model::{TokenFilter, TokenOptions},
    report::Report,
};

const FORMATS: &[(&str, &str)] = &[("text", "Text"), ("json", "Json"), ("structured", "Structured")];
const PROCESSOR: &str = "fn(&str, &TokenMetadata) -> String";

pub(crate) fn parse(tokens: TokenStream, owner: Owner<'_>, report: &mut Report) -> TokenOptions {
    let mut options = TokenOptions::default();
    args::read(tokens, owner, report, |arg, report| {
        match arg.option.name {
            "enabled" => options.enabled = Some(arg.flag()?),
            "buffer_size" => options.buffer_size = Some(size(&arg)?),
            "batch_size" => options.batch_size = Some(size(&arg)?),
            "flush_interval" => options.flush_interval = Some(arg.duration(Zero::Allowed)?),
            "format" => options.format = Some(arg.choice(FORMATS)?),
            "include_metadata" => options.include_metadata = Some(arg.flag()?),
            "processor" => options.processor = Some(arg.function(PROCESSOR)?),
            "filter" => options.filter = Some(filter(&arg, report)?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    options
}

/// The number of tokens or events that a buffer or a batch holds.
pub(crate) fn size(arg: &Arg<'_>) -> syn::Result<usize> {
    Ok(arg.count(1, u64::MAX)?.try_into().unwrap_or(usize::MAX))
}

fn length(arg: &Arg<'_>) -> syn::Result<usize> {
    Ok(arg.count(1, u64::MAX)?.try_into().unwrap_or(usize::MAX))
}

fn filter(arg: &Arg<'_>, report: &mut Report) -> syn::Result<TokenFilter> {
    let mut filter = TokenFilter::default();
    let mut longest = None;
    args::read(arg.list()?, arg.group("`filter(…)`"), report, |arg, _| {
        match arg.option.name {
            "min_length" => filter.min_length = Some(length(&arg)?),
            "max_length" => {
                filter.max_length = Some(length(&arg)?);
                longest = Some(arg.name);
            }
            "pattern" => filter.pattern = Some(pattern(&arg)?),
            "exclude_whitespace" => filter.exclude_whitespace = Some(arg.flag()?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    if let (Some(min), Some(max), Some(name)) = (filter.min_length, filter.max_length, longest)
        && min > max
    {
        let message = format!(
            "`max_length = {max}` is below `min_length = {min}`: no token passes; make `max_length` the greater one"
        );
        report.at(name, message);
    }
    Ok(filter)
}

/// A regular expression, checked here so that a bad one never reaches a run.
fn pattern(arg: &Arg<'_>) -> syn::Result<LitStr> {
    let literal = arg.string()?;
    match regex_syntax::parse(&literal.value()) {
        Ok(_) => Ok(literal),
        Err(error) => {
            let message = format!(
                "`pattern` is no regular expression: {}; see https://docs.rs/regex for the syntax",
                reason(&error)
            );
            Err(syn::Error::new_spanned(literal, message))
        }
    }
}

/// Why, in one line: the crate's own message draws the pattern with a caret under it.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").into(),
    }
}

//! `#[stream_progress(…)]`.

use proc_macro2::TokenStream;
use syn::{Expr, ExprLit, Lit};

use super::{
    args::{self, Arg, Owner, text},
    value::{self, Zero},
};
use crate::{
    model::{ProgressFormat, ProgressOptions},
    report::Report,
};

const GRANULARITIES: &[(&str, &str)] = &[("coarse", "Coarse"), ("fine", "Fine"), ("detailed", "Detailed")];
const CALCULATOR: &str = "fn(f64, f64, &ProgressMetadata) -> f64";

/// A percentage of a 64-bit float has no more meaningful digits behind the point than this.
const PRECISION_MAX: u64 = 17;

pub(crate) fn parse(tokens: TokenStream, owner: Owner<'_>, report: &mut Report) -> ProgressOptions {
    let mut options = ProgressOptions::default();
    args::read(tokens, owner, report, |arg, report| {
        match arg.option.name {
            "enabled" => options.enabled = Some(arg.flag()?),
            "interval" => options.interval = Some(arg.duration(Zero::Refused)?),
            "granularity" => options.granularity = Some(arg.choice(GRANULARITIES)?),
            "include_eta" => options.include_eta = Some(arg.flag()?),
            "include_metrics" => options.include_metrics = Some(arg.flag()?),
            "milestones" => options.milestones = Some(milestones(&arg, report)?),
            "calculator" => options.calculator = Some(arg.function(CALCULATOR)?),
            "format" => options.format = Some(format(&arg, report)?),
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    options
}

fn milestones(arg: &Arg<'_>, report: &mut Report) -> syn::Result<Vec<f64>> {
    let mut found: Vec<f64> = Vec::new();
    for item in value::expressions(arg.list()?, arg, report) {
        let number = match &item {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) if number.suffix().is_empty() => {
                number.base10_parse::<f64>().ok()
            }
            Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) if number.suffix().is_empty() => {
                number.base10_parse::<f64>().ok()
            }
            _ => None,
        };
        let range = "milestones are percentages from 0 to 100, in rising order";
        match number {
            Some(number) if (0.0..=100.0).contains(&number) => match found.last() {
                Some(last) if *last >= number => {
                    report.at(&item, format!("milestone `{}` follows {last}; {range}", text(&item)));
                }
                _ => found.push(number),
            },
            _ => report.at(&item, format!("`{}` is no milestone; {range}", text(&item))),
        }
    }
    Ok(found)
}

fn format(arg: &Arg<'_>, report: &mut Report) -> syn::Result<ProgressFormat> {
    let mut format = ProgressFormat::default();
    args::read(arg.list()?, arg.group("`format(…)`"), report, |arg, _| {
        match arg.option.name {
            "show_percentage" => format.show_percentage = Some(arg.flag()?),
            "show_current" => format.show_current = Some(arg.flag()?),
            "show_total" => format.show_total = Some(arg.flag()?),
            "show_rate" => format.show_rate = Some(arg.flag()?),
            "precision" => {
                format.precision = Some(arg.count(0, PRECISION_MAX)?.try_into().unwrap_or(usize::MAX));
            }
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    Ok(format)
}

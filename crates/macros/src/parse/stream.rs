//! The four stream attributes of a node, and how they go together.

use proc_macro2::TokenStream;

use super::{
    args,
    args::Owner,
    attribute::{Attribute, Ours},
    event, progress, token,
};
use crate::{
    model::{EventOptions, ProgressOptions, TokenOptions},
    report::Report,
};

/// What a node streams.
#[derive(Default)]
pub(crate) struct Streams {
    pub(crate) token: Option<TokenOptions>,
    pub(crate) event: Option<EventOptions>,
    pub(crate) progress: Option<ProgressOptions>,
}

/// Reads the stream attributes of one method.
pub(crate) fn parse(attributes: &[(Ours, Attribute)], report: &mut Report) -> Streams {
    let mut streams = Streams::default();
    if let Some((_, all)) = attributes.iter().find(|(ours, _)| *ours == Ours::StreamAll) {
        streams = parse_all(all.arguments(report), report);
        for (ours, other) in attributes {
            let group = match ours {
                Ours::StreamToken => "token",
                Ours::StreamEvent => "event",
                Ours::StreamProgress => "progress",
                Ours::Node | Ours::StreamAll => continue,
            };
            let message = format!(
                "`#[stream_all]` stands on this node already; write its options as `#[stream_all({group}(…))]`, \
                 or keep `#[{}]` and drop `#[stream_all]`",
                ours.name()
            );
            report.at(&other.path, message);
        }
        return streams;
    }
    for (ours, attribute) in attributes {
        let title = ours.title();
        let owner = Owner { title: &title, options: ours.table().options };
        match ours {
            Ours::StreamToken => {
                streams.token = Some(token::parse(attribute.arguments(report), owner, report));
            }
            Ours::StreamEvent => {
                streams.event = Some(event::parse(attribute.arguments(report), owner, report));
            }
            Ours::StreamProgress => {
                streams.progress = Some(progress::parse(attribute.arguments(report), owner, report));
            }
            Ours::Node | Ours::StreamAll => {}
        }
    }
    streams
}

fn parse_all(tokens: TokenStream, report: &mut Report) -> Streams {
    let mut streams = Streams {
        token: Some(TokenOptions::default()),
        event: Some(EventOptions::default()),
        progress: Some(ProgressOptions::default()),
    };
    let title = Ours::StreamAll.title();
    let owner = Owner { title: &title, options: Ours::StreamAll.table().options };
    args::read(tokens, owner, report, |arg, report| {
        match arg.option.name {
            "token" => streams.token = Some(token::parse(arg.list()?, arg.group("`token(…)`"), report)),
            "event" => streams.event = Some(event::parse(arg.list()?, arg.group("`event(…)`"), report)),
            "progress" => {
                streams.progress = Some(progress::parse(arg.list()?, arg.group("`progress(…)`"), report));
            }
            _ => return Err(args::unread(&arg)),
        }
        Ok(())
    });
    streams
}

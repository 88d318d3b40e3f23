//! No prelude, and every name that generated code might lean on means something else.
#![no_implicit_prelude]
#![allow(dead_code, unused_imports)] // The shadowing names only have to be there.

mod shadows {
    pub struct Result;
    pub struct Option;
    pub struct Box;
    pub struct Vec;
    pub struct String;
    pub struct Arc;
    pub struct Duration;
    pub enum Shadow {
        Some,
        None,
        Ok,
        Err,
    }
    pub use self::Shadow::{Err, None, Ok, Some};
    pub trait Default {}
    pub trait Into {}
    pub trait From {}
    pub trait Fn {}
    pub trait Send {}
    pub trait Future {}
    pub trait Serialize {}
    pub trait Workflow {}
    pub struct WorkflowBuilder;
    pub struct NodeBuilder;
    pub struct EventType;
    pub struct Module;
    pub struct Provider;
    pub trait Injectable {}
    pub trait ModuleDefinition {}
    pub mod std {}
    pub mod core {}
    pub mod streamnest {}
    pub mod serde {}
}

use self::shadows::*;
use ::streamnest::{
    prelude::{Event, Goto, NodeContext, NodeResult, ProgressMetadata, State, TokenMetadata},
    runtime::Workflow as _,
};

#[derive(State, ::std::clone::Clone, ::serde::Serialize)]
struct Draft {
    text: ::std::string::String,
    #[state(default, reducer = append)]
    words: ::std::vec::Vec<::std::string::String>,
    #[state(default = 3, reducer = most, commutes)]
    tries: u32,
    #[state(default)]
    lengths: ::std::vec::Vec<usize>,
    #[state(default, reducer = sum)]
    total: u64,
}

fn most(current: &mut u32, update: u32) {
    *current = if update > *current { update } else { *current };
}

fn shout(text: &str, _: &TokenMetadata) -> ::std::string::String {
    text.to_uppercase()
}

fn enrich(event: Event) -> Event {
    event
}

fn weigh(current: f64, total: f64, _: &ProgressMetadata) -> f64 {
    current / total
}

#[::streamnest::injectable]
struct DraftReply;

#[::streamnest::workflow(name = "hygiene", state = Draft, timeout = "1h", on_disconnect = "continue", values = false)]
impl DraftReply {
    #[node(kind = "llm", start, timeout = "5s", tags("a"))]
    #[stream_token(flush_interval = "1us", processor = shout, format = "json", filter(pattern = "."))]
    #[stream_event(
        events(ToolStart, "own"),
        transformer = enrich,
        filter(min_priority = "low", exclude_types("own")),
        delivery = "at-most-once"
    )]
    #[stream_progress(interval = "1ms", granularity = "detailed", milestones(1), calculator = weigh, format(show_rate))]
    #[cfg(all())]
    async fn draft(&self, state: &Draft, _: &NodeContext) -> NodeResult<DraftUpdate> {
        ::std::result::Result::Ok(DraftUpdate::new().text(::std::clone::Clone::clone(&state.text)))
    }

    #[node(kind = "stream", after = "draft", gather = "text")]
    fn tell(&self, _: &Draft) -> impl ::futures_util::Stream<Item = ::std::string::String> {
        ::futures_util::stream::empty()
    }

    #[node(after = "draft", each = "words", gather = "lengths", concurrency = 2, retry(backoff = "1s", on("own", retryable)))]
    async fn measure(&self, _: &Draft, word: &::std::string::String) -> NodeResult<usize> {
        ::std::result::Result::Ok(word.len())
    }

    #[node(after(any("tell", "measure")))]
    async fn first(&self, _: &Draft) -> NodeResult<()> {
        ::std::result::Result::Ok(())
    }

    #[node(kind = "subgraph", workflow = DraftReply, after("first"))]
    async fn within(&self, _: &Draft, _: &NodeContext) -> NodeResult<()> {
        ::std::result::Result::Ok(())
    }

    #[node(kind = "condition", after = "within", routes("draft", end))]
    async fn decide(&self, _: &Draft, ctx: &NodeContext) -> NodeResult<Goto<DraftUpdate>> {
        let next = if ctx.visit() == 1 { Goto::to("draft") } else { Goto::end() };
        ::std::result::Result::Ok(next.with(<DraftUpdate as ::std::default::Default>::default()))
    }
}

trait Voice: ::std::marker::Send + ::std::marker::Sync {}

impl Voice for Plain {}

#[::streamnest::injectable(scope = "application", init = begin, shutdown = end)]
struct Plain {
    #[inject(default)]
    count: u32,
    #[inject(name = "x")]
    named: ::std::option::Option<::std::sync::Arc<Other>>,
}

impl Plain {
    async fn begin(&self) {}
    async fn end(&self) {}
}

#[::streamnest::injectable(scope = "execution")]
struct Other(::std::sync::Arc<Plain>);

#[::streamnest::module(
    providers(Plain as dyn Voice, named("x", value(7_u8)), factory(|| 7_u16), DraftReply),
    exports(dyn Voice),
    workflows(DraftReply),
    global
)]
struct AppModule;

fn main() {
    let module = ::std::format!("{:?}", <AppModule as ::streamnest::modules::ModuleDefinition>::module());
    ::std::assert!(module.contains("dyn Voice"), "{module}");
    let definition = ::std::format!("{:?}", DraftReply::definition());
    ::std::assert!(definition.contains("hygiene"), "{definition}");
}

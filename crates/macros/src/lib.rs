//! The attributes of Streamnest: glue that could be written by hand against the runtime's public interface, and is
//! written here so that nobody has to.
//!
//! Each expansion goes the same way: `parse` reads tokens into the `model`, `validate` holds the rules that span more
//! than one option, `expand` spells the model out. What is wrong is gathered in a `report` and told at once, each
//! mistake in one message at the smallest wrong token; then `fallback` emits the user's items, so that the compiler
//! adds nothing. A method's body is never looked into and is emitted again token for token.

mod expand;
mod fallback;
mod model;
mod options;
mod parse;
mod paths;
mod report;
mod suggest;
#[cfg(test)]
mod tests;
mod validate;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;

use crate::{
    parse::{attribute::Ours, item::Block},
    paths::Paths,
    report::Report,
};

/// Makes a workflow of an `impl` block: its `#[node]` methods are the nodes.
///
/// ```text
/// #[workflow(name = "draft-reply", state = Draft, max_steps = 20)]
/// impl DraftReply {
///     #[node(kind = "llm", start)]
///     #[stream_token(flush_interval = "40ms")]
///     async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> { … }
///
///     #[node(kind = "condition", after = "draft", routes("draft", end))]
///     async fn review(&self, state: &Draft) -> NodeResult<Goto<DraftUpdate>> { … }
/// }
/// ```
///
/// | option | meaning | default |
/// |---|---|---|
/// | `state = Type` | what the nodes share; it derives `State` | required |
/// | `name = "…"` | 1 to 64 characters of `a-z A-Z 0-9 - _` | the type's name, as in `draft-reply` |
/// | `description = "…"` | what it does, for whoever lists workflows | none |
/// | `streaming = false` | its nodes stream nothing, whatever they carry | `true` |
/// | `max_steps = 100` | a run that takes more steps fails | 100 |
/// | `timeout = "5min"` | the longest a run may take, less what it waits for an answer | none |
/// | `on_disconnect = "cancel"` | what happens when the last subscriber is gone: `continue` or `cancel` | `continue` |
/// | `values` | also emit the whole state after each step | off |
/// | `crate = path` | where the facade is, if the dependency was renamed | `::streamnest` |
///
/// A node method takes `&self`, `&State`, with `each` an item, and, if it wants, `&NodeContext`. It is an `async fn` that
/// returns `NodeResult<Update>`, `NodeResult<Goto<Update>>` or `NodeResult<()>`, with `each` and `gather` a `NodeResult` of any
/// value, or an `fn` or `async fn` that returns `impl Stream` of tokens, also in a `NodeResult`. `#[cfg]` and `#[cfg_attr]` work on nodes: one that is configured out is not in the workflow.
#[proc_macro_attribute]
pub fn workflow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_workflow(arguments.into(), item.into(), Pass::First).into()
}

/// The second pass of `#[workflow]`, over a block whose `#[cfg]`s the compiler has evaluated. Not for use by hand.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn workflow_configured(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_workflow(arguments.into(), item.into(), Pass::Second).into()
}

/// Makes a node of a method, inside a `#[workflow]` block.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `kind = "…"` | `standard`, `llm`, `tool`, `task`, `condition`, `aggregator`, `stream`, `subgraph`; `llm` and `tool` add their start and complete events, a `condition` returns a `Goto`, an `aggregator` runs after several, a `stream` returns a `Stream`, a `subgraph` runs a `workflow` | `standard` |
/// | `start` | the workflow starts here | off |
/// | `after = "a"` | runs when that node is complete; several nodes after one run at the same time | none |
/// | `after("a", "b")` | runs once a round when all of them have come that still can | |
/// | `after(any("a", "b"))` | runs once a round when the first has come; what could only come later is stopped | |
/// | `routes("a", "b", end)` | where the `Goto` that it returns may lead | none |
/// | `retry(attempts = 3, backoff = "1s", max_backoff = "30s", jitter = 0.5, on("code", retryable))` | tries a visit, or an item, again when it fails: how often in all, after what wait, which doubles up to the longest and of which a random share is left out, and which failures | once; these values, and all failures but panics |
/// | `timeout = "30s"` | the longest an attempt may take, less what it waits for an answer | none |
/// | `each = "field"` | runs once for each item of that list, as one visit | once |
/// | `concurrency = 16` | how many items at once | 16 |
/// | `workflow = Type` | the workflow that a `subgraph` runs by `ctx.run_subgraph` | none |
/// | `gather = "field"` | the field of the state that takes the whole text of a returned `Stream`; with `each`, the values or texts of all items in their order | none |
/// | `name = "…"` | 1 to 64 characters of `a-z A-Z 0-9 - _` | the method's name |
/// | `description = "…"`, `tags("…")` | for whoever looks at the graph | none |
#[proc_macro_attribute]
pub fn node(arguments: TokenStream, item: TokenStream) -> TokenStream {
    misplaced(Ours::Node, arguments, item)
}

/// Streams the tokens of a node.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `enabled = false` | no token frames; the node still runs | `true` |
/// | `buffer_size = 50` | flush as soon as this many tokens wait | 50 |
/// | `batch_size = 10` | at most this many tokens in one frame | 10 |
/// | `flush_interval = "40ms"` | the longest a token waits; the first of a message never waits | 40 ms |
/// | `format = "…"` | `text`, `json` or `structured` | `text` |
/// | `include_metadata` | the model's metadata travels with the token | off |
/// | `processor = path` | `fn(&str, &TokenMetadata) -> String`, maps each token before batching | none |
/// | `filter(min_length, max_length, pattern, exclude_whitespace)` | which tokens get a frame; lengths in characters | all |
#[proc_macro_attribute]
pub fn stream_token(arguments: TokenStream, item: TokenStream) -> TokenStream {
    misplaced(Ours::StreamToken, arguments, item)
}

/// Says which events a node emits, and how.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `events(ToolStart, "my_type")` | exactly what the node emits | values, updates, events |
/// | `enabled = false` | no events of this node | `true` |
/// | `buffer_size = 100`, `batch_size = 10` | how many may wait, how many are written at once | 100, 10 |
/// | `transformer = path` | `fn(Event) -> Event`, maps each event before it is written | none |
/// | `filter(event_types(…), exclude_types(…), min_priority = "low", include_debug)` | which of them are written | all but debug |
/// | `delivery = "…"` | `at-most-once`, `at-least-once` or `exactly-once` | `at-least-once` |
#[proc_macro_attribute]
pub fn stream_event(arguments: TokenStream, item: TokenStream) -> TokenStream {
    misplaced(Ours::StreamEvent, arguments, item)
}

/// Streams the progress of a node, which `ctx.progress(current, total)` feeds.
///
/// | option | meaning | default |
/// |---|---|---|
/// | `enabled = false` | no progress of this node | `true` |
/// | `interval = "1s"` | the time between two updates | 1 s |
/// | `granularity = "…"` | `coarse`: start, milestones, end; `fine`: also every interval; `detailed`: every update | `fine` |
/// | `include_eta`, `include_metrics` | the time that is left; rate and elapsed time | off |
/// | `milestones(25, 50, 75)` | percentages that are told exactly once each | none |
/// | `calculator = path` | `fn(f64, f64, &ProgressMetadata) -> f64`, the percentage of current and total | their ratio |
/// | `format(show_percentage, show_current, show_total, show_rate, precision = 1)` | what the text of an update holds | the percentage |
#[proc_macro_attribute]
pub fn stream_progress(arguments: TokenStream, item: TokenStream) -> TokenStream {
    misplaced(Ours::StreamProgress, arguments, item)
}

/// `#[stream_token]`, `#[stream_event]` and `#[stream_progress]` at once: `#[stream_all]` for the defaults of the three, or
/// `#[stream_all(token(…), event(…), progress(…))]`.
#[proc_macro_attribute]
pub fn stream_all(arguments: TokenStream, item: TokenStream) -> TokenStream {
    misplaced(Ours::StreamAll, arguments, item)
}

/// Makes a struct the state of a workflow, and writes its update: `Draft` gets `DraftUpdate`, with a setter for each
/// field.
///
/// A field is required in the input unless it has a default. On a field, `#[state(…)]` takes
///
/// - `default`, or `default = expression`: what it holds when the input leaves it out;
/// - `reducer = replace`, `append`, `merge`, `maximum`, `minimum`, `sum`, or the path of a `fn(&mut T, T)`: how an update
///   meets what it holds (default `replace`). Branches that run at the same time may change a field together unless it is
///   replaced or has a function;
/// - `commutes`: that function comes to the same in any order, and so branches may.
///
/// On the struct, `#[state(crate = path)]` says where the facade is if the dependency was renamed.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(item: TokenStream) -> TokenStream {
    match syn::parse::<syn::DeriveInput>(item) {
        Ok(input) => expand_state(&input).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Makes a module of a struct: what it imports, provides and exports.
///
/// ```text
/// #[module(
///     imports(StreamingModule::for_root(options()), search_module),
///     providers(ContentWriter, OfflineModel as dyn ChatModel, value(Limits::default())),
///     exports(dyn ChatModel),
///     workflows(ContentWriter)
/// )]
/// struct AppModule;
/// ```
///
/// | option | meaning |
/// |---|---|
/// | `imports(…)` | modules whose exports it sees: types with `#[module]`, functions and values, as expressions |
/// | `providers(…)` | what it provides: see below |
/// | `exports(…)` | what those that import it see: a type, `dyn Trait`, `named("…", Type)`, the type of an imported module, or `module(my_module)` |
/// | `workflows(…)` | workflows of the program; it must see a provider of each |
/// | `global` | every module sees what it exports, also without an import |
/// | `crate = path` | where the facade is, if the dependency was renamed; default `::streamnest` |
///
/// A provider is
///
/// - `Type`, which is `#[injectable]`;
/// - `value(expression)`, or `shared(expression)` for an `Arc` that there is already;
/// - `factory(function)`, `try_factory(function)` for one that returns a `Result`, `async_factory(function)` for an async
///   one that returns a `Result`: the function's parameters are what it needs;
/// - `provider(expression)`, any `Provider`;
/// - each of them `as dyn Trait`, once or more, by which it is then found as well;
/// - `named("…", provider)`, which is found under that name only.
#[proc_macro_attribute]
pub fn module(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_module(arguments.into(), item.into()).into()
}

/// Makes a struct injectable: each field is what a provider makes.
///
/// ```text
/// #[injectable(shutdown = close)]
/// struct ContentWriter {
///     model: Arc<dyn ChatModel>,
///     #[inject(name = "drafts")]
///     store: Arc<Store>,
///     cache: Option<Arc<Cache>>,
///     #[inject(default)]
///     written: AtomicU64,
///     #[inject(value = Duration::from_secs(5))]
///     patience: Duration,
/// }
/// ```
///
/// | option | meaning | default |
/// |---|---|---|
/// | `scope = "…"` | `application`: one for all; `execution`: each execution has its own | `application` |
/// | `init = method` | an `async fn(&self)` that runs when everything is made, after those of what it needs | none |
/// | `shutdown = method` | an `async fn(&self)` that runs at the end, before those of what it needs | none |
/// | `crate = path` | where the facade is, if the dependency was renamed | `::streamnest` |
///
/// A field is `Arc<T>`, `Arc<dyn Trait>`, an `Option` of those, or `Scoped<T>`. On a field, `#[inject(name = "…")]` takes the
/// provider of that name, `#[inject(default)]` the type's default and `#[inject(value = …)]` an expression.
#[proc_macro_attribute]
pub fn injectable(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand_injectable(arguments.into(), item.into()).into()
}

/// Which pass over a block it is; the second follows only where there are `#[cfg]`s.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    Second,
}

fn expand_workflow(arguments: Tokens, item: Tokens, pass: Pass) -> Tokens {
    let mut report = Report::default();
    let block = match Block::split(item.clone()) {
        Ok(block) => block,
        Err(error) => {
            let (error, item) = (error.into_compile_error(), fallback::other(item));
            return quote!(#error #item);
        }
    };
    let options = parse::workflow::arguments(arguments.clone(), &mut report);
    let paths = Paths::new(options.facade.as_ref());
    let block = match pass {
        // Mistakes in the options are told by the second pass, should there be one.
        Pass::First => match parse::cfg::ask(&block, &arguments, &paths) {
            Some(question) => return question,
            None => block,
        },
        Pass::Second => parse::cfg::resolve(block),
    };
    let state = options.state.clone();
    let Some(head) = parse::workflow::head(&block, &mut report) else {
        let (errors, block) = (report.into_compile_errors(), fallback::block(&block));
        return quote!(#errors #block);
    };
    let workflow = parse::workflow::parse(options, head.clone(), &block, &mut report);
    if let Some(workflow) = &workflow {
        validate::workflow(workflow, &mut report);
    }
    let methods = fallback::block(&block);
    match workflow {
        Some(workflow) if report.is_empty() => {
            let glue = expand::workflow(&workflow, &paths);
            quote!(#methods #glue)
        }
        _ => {
            let errors = report.into_compile_errors();
            let stand_in = fallback::workflow(&head, state.as_ref(), &block, &paths);
            quote!(#errors #methods #stand_in)
        }
    }
}

fn expand_state(input: &syn::DeriveInput) -> Tokens {
    let mut report = Report::default();
    let state = parse::state::parse(input, &mut report);
    let paths = Paths::new(state.facade.as_ref());
    if report.is_empty() {
        return expand::state(&state, &paths);
    }
    let errors = report.into_compile_errors();
    // A generic struct has no `impl State` without its parameters; its own message is all there is to say.
    let stand_in = input.generics.params.is_empty().then(|| fallback::state(&state, &paths));
    quote!(#errors #stand_in)
}

fn expand_module(arguments: Tokens, item: Tokens) -> Tokens {
    let mut report = Report::default();
    let arguments = parse::module::arguments(arguments, &mut report);
    let paths = Paths::new(arguments.facade.as_ref());
    let module = parse::module::parse(arguments, &item, &mut report);
    let Some(module) = module else {
        let errors = report.into_compile_errors();
        return quote!(#errors #item);
    };
    validate::module(&module, &mut report);
    let glue = match report.is_empty() {
        true => expand::module(&module, &paths),
        false => fallback::module(&module.name, &paths),
    };
    let errors = report.into_compile_errors();
    quote!(#errors #item #glue)
}

fn expand_injectable(arguments: Tokens, item: Tokens) -> Tokens {
    let mut report = Report::default();
    let arguments = parse::injectable::arguments(arguments, &mut report);
    let paths = Paths::new(arguments.facade.as_ref());
    let Some(parsed) = parse::injectable::item(&item, &mut report) else {
        let errors = report.into_compile_errors();
        return quote!(#errors #item);
    };
    let injectable = parse::injectable::parse(arguments, &parsed, &mut report);
    let glue = match report.is_empty() {
        true => expand::injectable(&injectable, &paths),
        // One that borrows cannot be injectable, and its own message is all there is to say.
        false if parsed.generics.lifetimes().next().is_some() => Tokens::new(),
        false => fallback::injectable(&parsed, &paths),
    };
    let errors = report.into_compile_errors();
    let item = parse::injectable::without_inject(parsed);
    quote!(#errors #item #glue)
}

/// One of our attributes where no `#[workflow]` took it away.
fn misplaced(ours: Ours, _arguments: TokenStream, item: TokenStream) -> TokenStream {
    let title = ours.title();
    let message = match ours {
        Ours::Node => format!("{title} belongs on a method inside a `#[workflow]` impl block"),
        _ => format!("{title} belongs on a `#[node]` method inside a `#[workflow]` impl block"),
    };
    let error = syn::Error::new(proc_macro2::Span::call_site(), message).into_compile_error();
    let item = Tokens::from(item);
    quote!(#error #item).into()
}

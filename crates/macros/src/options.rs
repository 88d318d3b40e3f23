//! Every option of every attribute: the one list behind the messages of the macros and behind the test that proves
//! that each option has an effect.
//!
//! This file needs nothing but `core`, so that `tests/it/options.rs` can include it as it stands: an option that is
//! added here without its proof fails that test, and one that is parsed without standing here cannot be reached.

/// An attribute and what may stand between its parentheses.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Its name, without `#[` and `]`.
    pub(crate) name: &'static str,
    /// Its options, in the order in which messages list them.
    pub(crate) options: &'static [Opt],
}

/// An option of an attribute.
#[derive(Debug)]
pub(crate) struct Opt {
    /// Its name.
    pub(crate) name: &'static str,
    /// How it is written, with a value that is legal and is not the default.
    pub(crate) example: &'static str,
    /// What stands between its own parentheses, for a group such as `filter(…)`.
    pub(crate) options: &'static [Opt],
}

const fn opt(name: &'static str, example: &'static str) -> Opt {
    Opt { name, example, options: &[] }
}

const fn group(name: &'static str, example: &'static str, options: &'static [Opt]) -> Opt {
    Opt { name, example, options }
}

/// `#[workflow]`, on an `impl` block.
pub(crate) const WORKFLOW: Attribute = Attribute {
    name: "workflow",
    options: &[
        opt("name", "name = \"draft-reply\""),
        opt("state", "state = Draft"),
        opt("description", "description = \"Drafts a reply\""),
        opt("streaming", "streaming = false"),
        opt("max_steps", "max_steps = 20"),
        opt("timeout", "timeout = \"60s\""),
        opt("on_disconnect", "on_disconnect = \"cancel\""),
        opt("values", "values"),
        opt("crate", "crate = my_streamnest"),
    ],
};

/// `#[node]`, on a method.
pub(crate) const NODE: Attribute = Attribute {
    name: "node",
    options: &[
        opt("kind", "kind = \"llm\""),
        opt("start", "start"),
        opt("after", "after(\"draft\")"),
        opt("routes", "routes(\"draft\", end)"),
        group(
            "retry",
            "retry(attempts = 5, backoff = \"2s\")",
            &[
                opt("attempts", "attempts = 5"),
                opt("backoff", "backoff = \"2s\""),
                opt("max_backoff", "max_backoff = \"60s\""),
                opt("jitter", "jitter = 0.2"),
                opt("on", "on(\"node_timeout\", retryable)"),
            ],
        ),
        opt("timeout", "timeout = \"30s\""),
        opt("each", "each = \"parts\""),
        opt("concurrency", "concurrency = 4"),
        opt("workflow", "workflow = Research"),
        opt("gather", "gather = \"content\""),
        opt("name", "name = \"first-draft\""),
        opt("description", "description = \"Writes a first draft\""),
        opt("tags", "tags(\"writing\")"),
    ],
};

/// `#[stream_token]`, on a node.
pub(crate) const STREAM_TOKEN: Attribute = Attribute {
    name: "stream_token",
    options: &[
        opt("enabled", "enabled = false"),
        opt("buffer_size", "buffer_size = 3"),
        opt("batch_size", "batch_size = 2"),
        opt("flush_interval", "flush_interval = \"100ms\""),
        opt("format", "format = \"structured\""),
        opt("include_metadata", "include_metadata"),
        opt("processor", "processor = shout"),
        group(
            "filter",
            "filter(min_length = 1, exclude_whitespace)",
            &[
                opt("min_length", "min_length = 2"),
                opt("max_length", "max_length = 20"),
                opt("pattern", "pattern = \"^[a-z]+$\""),
                opt("exclude_whitespace", "exclude_whitespace"),
            ],
        ),
    ],
};

/// `#[stream_event]`, on a node.
pub(crate) const STREAM_EVENT: Attribute = Attribute {
    name: "stream_event",
    options: &[
        opt("events", "events(ToolStart, ToolComplete, \"invoice_sent\")"),
        opt("enabled", "enabled = false"),
        opt("buffer_size", "buffer_size = 20"),
        opt("batch_size", "batch_size = 5"),
        opt("transformer", "transformer = enrich"),
        group(
            "filter",
            "filter(exclude_types(NodeStart), min_priority = \"medium\")",
            &[
                opt("event_types", "event_types(ToolStart, \"invoice_sent\")"),
                opt("exclude_types", "exclude_types(NodeStart)"),
                opt("min_priority", "min_priority = \"high\""),
                opt("include_debug", "include_debug"),
            ],
        ),
        opt("delivery", "delivery = \"exactly-once\""),
    ],
};

/// `#[stream_progress]`, on a node.
pub(crate) const STREAM_PROGRESS: Attribute = Attribute {
    name: "stream_progress",
    options: &[
        opt("enabled", "enabled = false"),
        opt("interval", "interval = \"500ms\""),
        opt("granularity", "granularity = \"coarse\""),
        opt("include_eta", "include_eta"),
        opt("include_metrics", "include_metrics"),
        opt("milestones", "milestones(25, 50, 75)"),
        opt("calculator", "calculator = weigh"),
        group(
            "format",
            "format(show_current, show_total, precision = 2)",
            &[
                opt("show_percentage", "show_percentage = false"),
                opt("show_current", "show_current"),
                opt("show_total", "show_total"),
                opt("show_rate", "show_rate"),
                opt("precision", "precision = 2"),
            ],
        ),
    ],
};

/// `#[stream_all]`, on a node.
pub(crate) const STREAM_ALL: Attribute = Attribute {
    name: "stream_all",
    options: &[
        group("token", "token(buffer_size = 3)", STREAM_TOKEN.options),
        group("event", "event(delivery = \"exactly-once\")", STREAM_EVENT.options),
        group("progress", "progress(include_eta)", STREAM_PROGRESS.options),
    ],
};

/// `#[module]`, on a struct.
pub(crate) const MODULE: Attribute = Attribute {
    name: "module",
    options: &[
        opt("imports", "imports(StreamingModule::for_root(options()))"),
        opt("providers", "providers(ContentWriter, OfflineModel as dyn ChatModel)"),
        opt("exports", "exports(dyn ChatModel)"),
        opt("workflows", "workflows(ContentWriter)"),
        opt("global", "global"),
        opt("crate", "crate = my_streamnest"),
    ],
};

/// `#[injectable]`, on a struct.
pub(crate) const INJECTABLE: Attribute = Attribute {
    name: "injectable",
    options: &[
        opt("scope", "scope = \"execution\""),
        opt("init", "init = connect"),
        opt("shutdown", "shutdown = close"),
        opt("crate", "crate = my_streamnest"),
    ],
};

/// `#[inject]`, on a field of an `#[injectable]`.
pub(crate) const INJECT: Attribute = Attribute {
    name: "inject",
    options: &[
        opt("name", "name = \"fast\""),
        opt("default", "default"),
        opt("value", "value = Duration::from_secs(5)"),
    ],
};

/// `#[state]` on a struct that derives `State`.
pub(crate) const STATE_STRUCT: Attribute =
    Attribute { name: "state", options: &[opt("crate", "crate = my_streamnest")] };

/// `#[state]` on a field of a struct that derives `State`.
pub(crate) const STATE_FIELD: Attribute = Attribute {
    name: "state",
    options: &[opt("default", "default"), opt("reducer", "reducer = append"), opt("commutes", "commutes")],
};

/// Every attribute.
#[allow(dead_code, reason = "the macros know each by its name; the tests walk over all")]
pub(crate) const ATTRIBUTES: &[Attribute] = &[
    WORKFLOW,
    NODE,
    STREAM_TOKEN,
    STREAM_EVENT,
    STREAM_PROGRESS,
    STREAM_ALL,
    MODULE,
    INJECTABLE,
    INJECT,
    STATE_STRUCT,
    STATE_FIELD,
];

//! A node that says what its input tells it to, and the log of what became of it.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamnest::{
    App, Streamnest,
    core::{Class, Clock, Entry, Timestamp},
    prelude::*,
    runtime::Workflow,
};

/// What the node says, step by step.
#[derive(State, Clone, Debug, Serialize)]
pub(crate) struct Talk {
    /// The steps: `token …`, `event …`, `progress current/total`, `wait milliseconds`, `text …`.
    script: Vec<String>,
    /// What `text` set.
    #[state(default)]
    pub(crate) text: String,
}

/// Says what the script says.
pub(crate) async fn talk(state: &Talk, ctx: &NodeContext) -> NodeResult<TalkUpdate> {
    let mut update = TalkUpdate::new();
    for step in &state.script {
        let (verb, rest) = step.split_once(' ').unwrap();
        match verb {
            "token" => {
                let metadata = json!({"source": "script"}).as_object().cloned();
                ctx.token(TokenDelta {
                    content: rest.into(),
                    kind: Some("reasoning".into()),
                    logprob: None,
                    metadata,
                })
                .await;
            }
            "event" => ctx.emit(rest, "as it was").await?,
            "progress" => {
                let (current, total) = rest.split_once('/').unwrap();
                ctx.progress(current.parse::<f64>()?, total.parse::<f64>()?).await;
            }
            "wait" => tokio::time::sleep(Duration::from_millis(rest.parse()?)).await,
            "text" => update = TalkUpdate::new().text(rest),
            other => panic!("`{other}` is no step"),
        }
    }
    Ok(update)
}

/// A workflow of one node that talks: the workflow's options, the node's options, and attributes of the node.
macro_rules! talker {
    ([$($workflow:tt)*] [$($node:tt)*] $(#[$($attribute:tt)*])*) => {{
        struct Talker;
        #[streamnest::workflow(state = crate::options::script::Talk $($workflow)*)]
        impl Talker {
            #[node(start $($node)*)]
            $(#[$($attribute)*])*
            async fn talk(
                &self,
                state: &crate::options::script::Talk,
                ctx: &streamnest::prelude::NodeContext,
            ) -> streamnest::prelude::NodeResult<crate::options::script::TalkUpdate> {
                crate::options::script::talk(state, ctx).await
            }
        }
        Talker
    }};
    ($(#[$($attribute:tt)*])*) => { talker!([] [] $(#[$($attribute)*])*) };
}
pub(crate) use talker;

/// Wall time that moves on with each look, so that entries of one append have one time and others another.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// An application of one workflow.
pub(crate) async fn app(workflow: impl Workflow) -> App {
    let clock = Arc::new(Ticking(AtomicU64::new(0)));
    Streamnest::builder().workflow(workflow).clock(clock).build().await.unwrap()
}

/// The name of the only workflow of an application.
pub(crate) fn only(app: &App) -> streamnest::core::WorkflowSummary {
    streamnest::core::ExecutionControl::workflows(app.engine()).remove(0)
}

/// The log of a whole run.
#[derive(Debug)]
pub(crate) struct Log(pub(crate) Vec<Arc<Entry>>);

/// Runs the workflow on a script.
pub(crate) async fn run(workflow: impl Workflow, script: &[&str]) -> Log {
    run_with(workflow, json!({"script": script})).await
}

/// Runs the workflow on any input.
pub(crate) async fn run_with(workflow: impl Workflow, input: Value) -> Log {
    let app = app(workflow).await;
    let run = app.start(&only(&app).name, input).await.unwrap();
    Log(run.events().map(|entry| entry.unwrap()).collect().await)
}

impl Log {
    /// The payloads of a class, in order.
    pub(crate) fn of(&self, class: Class) -> Vec<Value> {
        let entries = self.0.iter().filter(|entry| entry.event().class() == class);
        entries.map(|entry| serde_json::from_slice(entry.event().payload()).unwrap()).collect()
    }

    /// The token frames.
    pub(crate) fn tokens(&self) -> Vec<Value> {
        self.of(Class::Token)
    }

    /// How many tokens each token frame joins.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.tokens().iter().map(|token| token["count"].as_u64().unwrap()).collect()
    }

    /// The text of all token frames.
    pub(crate) fn text(&self) -> String {
        self.tokens().iter().map(|token| token["content"].as_str().unwrap().to_owned()).collect()
    }

    /// The progress updates.
    pub(crate) fn progress(&self) -> Vec<Value> {
        self.of(Class::Progress)
    }

    /// The types of the events that the node `talk` said, in order.
    pub(crate) fn types(&self) -> Vec<String> {
        let said = self.0.iter().map(|entry| entry.event());
        let said = said.filter(|event| event.class() == Class::Event && event.node().is_some());
        said.map(|event| event.event_type().to_string()).collect()
    }

    /// The payload of the last entry: the terminal status.
    pub(crate) fn end(&self) -> Value {
        self.of(Class::Status).pop().unwrap()
    }

    /// In how many appends the events of this type came.
    pub(crate) fn appends(&self, event_type: &str) -> usize {
        let entries = self.0.iter().filter(|entry| entry.event().event_type().as_str() == event_type);
        let times: std::collections::BTreeSet<_> = entries.map(|entry| entry.time()).collect();
        times.len()
    }
}

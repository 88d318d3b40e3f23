//! The options of `#[node]` that concern more than one branch, item or attempt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use streamnest::prelude::*;
use tokio::time::{Instant, sleep};

use super::script::{Log, app, only, run_with};

#[derive(State, Clone, Serialize)]
struct Parts {
    #[state(default)]
    parts: Vec<String>,
    #[state(default, reducer = append)]
    told: Vec<String>,
    #[state(default)]
    lengths: Vec<usize>,
}

/// `a` and `b` after `begin`, and where they meet.
struct Branches;

#[workflow(state = Parts)]
impl Branches {
    #[node(start)]
    async fn begin(&self, _: &Parts) -> NodeResult<()> {
        Ok(())
    }

    #[node(after("begin"))]
    async fn slow(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        sleep(Duration::from_secs(60)).await;
        Ok(PartsUpdate::new().told(["slow".to_owned()]))
    }

    #[node(after = "begin")]
    async fn fast(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        sleep(Duration::from_secs(1)).await;
        Ok(PartsUpdate::new().told(["fast".to_owned()]))
    }

    #[node(after(any("slow", "fast")))]
    async fn first(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        Ok(PartsUpdate::new().told(["first".to_owned()]))
    }
}

struct Joining;

#[workflow(state = Parts)]
impl Joining {
    #[node(start)]
    async fn begin(&self, _: &Parts) -> NodeResult<()> {
        Ok(())
    }

    #[node(after = "begin")]
    async fn slow(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        sleep(Duration::from_secs(60)).await;
        Ok(PartsUpdate::new().told(["slow".to_owned()]))
    }

    #[node(after = "begin")]
    async fn fast(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        Ok(PartsUpdate::new().told(["fast".to_owned()]))
    }

    #[node(kind = "aggregator", after("slow", "fast"))]
    async fn both(&self, _: &Parts) -> NodeResult<PartsUpdate> {
        Ok(PartsUpdate::new().told(["both".to_owned()]))
    }
}

/// Nodes that run once for each part.
struct Each {
    running: AtomicUsize,
    most: Arc<AtomicUsize>,
}

#[workflow(state = Parts)]
impl Each {
    #[node(start, each = "parts", concurrency = 2)]
    async fn repeat(&self, _: &Parts, part: &str) -> NodeResult<PartsUpdate> {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(PartsUpdate::new().told([part.to_owned()]))
    }

    #[node(after = "repeat", each = "parts", gather = "lengths")]
    async fn measure(&self, _: &Parts, part: &str, ctx: &NodeContext) -> NodeResult<usize> {
        Ok(part.len() + 10 * ctx.item().unwrap_or_default())
    }

    #[node(after = "measure", each = "parts", gather = "told")]
    fn spell(&self, _: &Parts, part: &str) -> impl futures_util::Stream<Item = String> + use<> {
        futures_util::stream::iter([part.to_owned(), "!".into()])
    }
}

#[derive(State, Clone, Serialize)]
struct Word {
    #[state(default)]
    word: String,
}

struct Shout;

#[workflow(name = "shout", state = Word)]
impl Shout {
    #[node(start)]
    async fn shout(&self, state: &Word) -> NodeResult<WordUpdate> {
        Ok(WordUpdate::new().word(state.word.to_uppercase()))
    }
}

struct Around(Arc<Shout>);

#[workflow(state = Word)]
impl Around {
    #[node(kind = "subgraph", workflow = Shout, start)]
    async fn within(&self, _: &Word, ctx: &NodeContext) -> NodeResult<WordUpdate> {
        let said = ctx.run_subgraph(&self.0, Word { word: "hey".into() }).await?;
        Ok(WordUpdate::new().word(said.word))
    }
}

/// A workflow of one node that fails as often as its input says, with the `retry(…)` that is given.
macro_rules! failing {
    ($($retry:tt)*) => {{
        struct Failing;
        #[streamnest::workflow(state = Failures)]
        impl Failing {
            #[node(start, retry($($retry)*))]
            async fn fail(&self, state: &Failures, ctx: &NodeContext) -> NodeResult<()> {
                if ctx.attempt() > state.times {
                    return Ok(());
                }
                let error = NodeError::public("no").with_code("no_luck");
                Err(if state.retryable { error.retryable() } else { error })
            }
        }
        Failing
    }};
}

#[derive(State, Clone, Serialize)]
struct Failures {
    times: u32,
    #[state(default)]
    retryable: bool,
}

/// The log of a run that fails `times` times, and how long it took.
async fn fails(workflow: impl streamnest::runtime::Workflow, times: u32, retryable: bool) -> (Log, Duration) {
    let began = Instant::now();
    let log = run_with(workflow, json!({"times": times, "retryable": retryable})).await;
    (log, began.elapsed())
}

fn status(log: &Log) -> Value {
    log.end()["status"].clone()
}

/// Proves an option, if it is one of these.
pub(super) async fn prove(option: &str) -> bool {
    match option {
        "after" => {
            let began = Instant::now();
            let end = run_with(Branches, json!({})).await.end();
            assert_eq!(end["result"]["told"], json!(["fast", "first"]));
            assert_eq!(began.elapsed(), Duration::from_secs(1));
            let end = run_with(Joining, json!({})).await.end();
            assert_eq!(end["result"]["told"], json!(["slow", "fast", "both"]));
            assert_eq!(only(&app(Joining).await).graph["nodes"][3]["kind"], "aggregator");
        }
        "each" | "concurrency" => {
            let most = Arc::new(AtomicUsize::new(0));
            let each = Each { running: AtomicUsize::new(0), most: most.clone() };
            let end = run_with(each, json!({"parts": ["a", "bb", "ccc"]})).await.end();
            assert_eq!(end["result"]["told"], json!(["a", "bb", "ccc", "a!", "bb!", "ccc!"]));
            assert_eq!(end["result"]["lengths"], json!([1, 12, 23]));
            assert_eq!(most.load(Ordering::SeqCst), 2);
        }
        "workflow" => {
            let log = run_with(Around(Arc::new(Shout)), json!({})).await;
            assert_eq!(log.end()["result"]["word"], "HEY");
            let nodes: Vec<_> = log.0.iter().filter_map(|entry| entry.event().node().cloned()).collect();
            assert!(nodes.iter().any(|node| node.as_str() == "within/shout"), "{nodes:?}");
            let graph = only(&app(Around(Arc::new(Shout))).await).graph;
            assert_eq!(graph["nodes"][0]["subgraph"]["nodes"][0]["name"], "shout");
        }
        "retry" | "retry.attempts" => {
            assert_eq!(status(&fails(failing!(attempts = 3), 2, false).await.0), "completed");
            assert_eq!(status(&fails(failing!(attempts = 3), 3, false).await.0), "failed");
        }
        "retry.backoff" => {
            let (_, took) = fails(failing!(backoff = "10s", jitter = 0), 2, false).await;
            assert_eq!(took, Duration::from_secs(10 + 20));
        }
        "retry.max_backoff" => {
            let (_, took) = fails(failing!(backoff = "10s", max_backoff = "12s", jitter = 0), 2, false).await;
            assert_eq!(took, Duration::from_secs(10 + 12));
        }
        "retry.jitter" => {
            let (_, took) = fails(failing!(backoff = "10s", jitter = 0.5), 1, false).await;
            // The chance that the random share is nothing is one in 2^53.
            assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(10), "{took:?}");
        }
        "retry.on" => {
            for (workflow, retryable, expected) in [
                (fails(failing!(on("no_luck")), 1, false).await, false, "completed"),
                (fails(failing!(on("node_timeout")), 1, false).await, false, "failed"),
                (fails(failing!(on(retryable)), 1, false).await, false, "failed"),
                (fails(failing!(on(retryable)), 1, true).await, true, "completed"),
            ] {
                assert_eq!(status(&workflow.0), expected, "retryable: {retryable}");
            }
        }
        _ => return false,
    }
    true
}

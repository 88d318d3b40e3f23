//! `#[workflow]`.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use streamnest::prelude::*;

use super::script::{Talk, TalkUpdate, app, only, run, run_with, talker};

/// A facade of another name, whose `stream_tokens` can be told from the real one.
mod nest {
    pub(crate) mod __private {
        pub(crate) use ::streamnest::__private::*;

        pub(crate) async fn stream_tokens<S>(_: S, _: &NodeContext) -> NodeResult<String> {
            Ok("by the facade that `crate` names".into())
        }
    }
}

struct Renamed;

#[workflow(state = Talk, crate = nest)]
impl Renamed {
    #[node(start, gather = "text")]
    fn tell(&self, _: &Talk) -> impl futures_util::Stream<Item = String> {
        futures_util::stream::empty()
    }
}

struct Looping;

#[workflow(state = Talk, max_steps = 3)]
impl Looping {
    #[node(start, routes("again", end))]
    async fn again(&self, _: &Talk, ctx: &NodeContext) -> NodeResult<Goto<TalkUpdate>> {
        Ok(if ctx.visit() == u32::MAX { Goto::end() } else { Goto::to("again") })
    }
}

pub(crate) async fn prove(option: &str) -> bool {
    match option {
        "name" => {
            let app = app(talker!([, name = "by-another-name"] [])).await;
            assert!(app.start("by-another-name", json!({"script": []})).await.is_ok());
            assert!(app.start("talker", json!({"script": []})).await.is_err());
        }
        "state" => assert_eq!(only(&app(talker!()).await).input_schema["title"], "Talk"),
        "description" => {
            let summary = only(&app(talker!([, description = "Talks"] [])).await);
            assert_eq!(summary.description.as_deref(), Some("Talks"));
            assert_eq!(only(&app(talker!()).await).description, None);
        }
        "streaming" => {
            let script = ["token a", "event mine", "progress 1/2"];
            let silent = run(talker!([, streaming = false] [] #[stream_all]), &script).await;
            assert_eq!(silent.0.len(), 2, "running and completed, nothing else: {silent:?}");
            assert!(run(talker!(#[stream_all]), &script).await.0.len() > 6);
        }
        "max_steps" => {
            let log = run(Looping, &[]).await;
            assert_eq!(log.types().iter().filter(|ty| *ty == "node_start").count(), 3);
            assert_eq!(log.end()["status"], "failed");
        }
        "timeout" => {
            let log = run(talker!([, timeout = "60s"] []), &["wait 61000"]).await;
            assert_eq!(log.end()["error"]["code"], "workflow_timeout");
            assert_eq!(
                run(talker!([, timeout = "60s"] []), &["wait 59000"]).await.end()["status"],
                "completed"
            );
        }
        "on_disconnect" => {
            // The only viewer sees the node start and leaves for good.
            assert!(ends_without_viewers(talker!([, on_disconnect = "cancel"] [])).await.is_err());
            assert!(ends_without_viewers(talker!([, on_disconnect = "continue"] [])).await.is_ok());
        }
        "values" => {
            let types = run(talker!([, values] []), &["text x"]).await.types();
            assert!(types.contains(&"values".into()), "{types:?}");
            assert!(!run(talker!(), &["text x"]).await.types().contains(&"values".into()));
        }
        "crate" => {
            let log = run_with(Renamed, json!({"script": []})).await;
            assert_eq!(log.end()["result"]["text"], "by the facade that `crate` names");
        }
        _ => return false,
    }
    true
}

async fn ends_without_viewers(workflow: impl streamnest::runtime::Workflow) -> Result<(), String> {
    let app = app(workflow).await;
    let run = app.start("talker", json!({"script": ["wait 600000"]})).await.unwrap();
    let mut events = run.events();
    events.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(events);
    run.result().await.map(drop).map_err(|error| error.to_string())
}

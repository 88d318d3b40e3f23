//! `#[node]`.

use streamnest::prelude::*;

use super::branches;
use super::script::{Talk, TalkUpdate, app, only, run, talker};

struct Two;

#[workflow(state = Talk)]
impl Two {
    // Stands first, runs second.
    #[node(after = "first", gather = "text", kind = "stream")]
    fn second(&self, _: &Talk) -> impl futures_util::Stream<Item = &'static str> {
        futures_util::stream::iter(["ga", "the", "red"])
    }

    #[node(start)]
    async fn first(&self, _: &Talk) -> NodeResult<TalkUpdate> {
        Ok(TalkUpdate::new())
    }
}

struct Choosing;

#[workflow(state = Talk)]
impl Choosing {
    #[node(kind = "condition", start, routes("choose", end))]
    async fn choose(&self, state: &Talk) -> NodeResult<Goto<TalkUpdate>> {
        let next = if state.text.is_empty() { Goto::to("choose") } else { Goto::end() };
        Ok(next.with(TalkUpdate::new().text("been here")))
    }
}

pub(crate) async fn prove(option: &str) -> bool {
    match option {
        "kind" => {
            let types = run(talker!([] [, kind = "llm"]), &[]).await.types();
            assert_eq!(types, ["node_start", "llm_start", "llm_complete", "updates", "node_complete"]);
            let types = run(talker!([] [, kind = "tool"]), &[]).await.types();
            assert_eq!(types, ["node_start", "tool_start", "tool_complete", "updates", "node_complete"]);
            let graph = |app: &streamnest::App| only(app).graph["nodes"][0]["kind"].clone();
            assert_eq!(graph(&app(talker!([] [, kind = "task"])).await), "task");
            assert_eq!(graph(&app(Choosing).await), "condition");
            assert_eq!(graph(&app(Two).await), "stream");
            assert_eq!(graph(&app(talker!([] [, kind = "standard"])).await), "standard");
        }
        "start" | "after" => {
            assert_eq!(only(&app(Two).await).graph["start"], "first");
            let log = run(Two, &[]).await;
            let nodes = log.0.iter().filter(|entry| entry.event().event_type().as_str() == "node_start");
            let nodes: Vec<_> = nodes.map(|entry| entry.event().node().unwrap().to_string()).collect();
            assert_eq!(nodes, ["first", "second"]);
            assert!(option == "start" || branches::prove(option).await);
        }
        "routes" => {
            let log = run(Choosing, &[]).await;
            assert_eq!(log.types().iter().filter(|ty| *ty == "node_start").count(), 2);
            assert_eq!(log.end()["status"], "completed");
        }
        "timeout" => {
            let log = run(talker!([] [, timeout = "30s"]), &["wait 31000"]).await;
            assert_eq!(log.end()["error"]["code"], "node_timeout");
            assert_eq!(
                run(talker!([] [, timeout = "30s"]), &["wait 29000"]).await.end()["status"],
                "completed"
            );
        }
        "gather" => assert_eq!(run(Two, &[]).await.end()["result"]["text"], "gathered"),
        "name" => {
            let log = run(talker!([] [, name = "first-draft"]), &["event mine"]).await;
            let node = log.0.iter().find_map(|entry| entry.event().node().cloned()).unwrap();
            assert_eq!(node.as_str(), "first-draft");
        }
        "description" => {
            let graph = only(&app(talker!([] [, description = "Says it"])).await).graph;
            assert_eq!(graph["nodes"][0]["description"], "Says it");
        }
        "tags" => {
            let graph = only(&app(talker!([] [, tags("a", "b")])).await).graph;
            assert_eq!(graph["nodes"][0]["tags"], serde_json::json!(["a", "b"]));
        }
        other => return branches::prove(other).await,
    }
    true
}

//! The graph as JSON.

use serde_json::{Map, Value, json};

use super::{Graph, GraphNode, Next, Runs};

impl Graph {
    /// The graph as JSON: `{start, nodes: [{name, kind, streams, …}], edges: [{from, to, conditional}]}`; an edge to
    /// the end has no `to`. A node that waits for several has `join` (`all` or `any`), one that runs for each item its
    /// `concurrency`, one that is tried again its `attempts`, and one that runs another workflow that one's graph as
    /// `subgraph`.
    pub fn to_json(&self) -> Value {
        let mut edges = Vec::new();
        for node in &self.nodes {
            let from = node.name.as_str();
            let conditional = matches!(node.next, Next::Routes { .. });
            let targets = node.next.targets().iter();
            edges.extend(
                targets.map(|to| json!({"from": from, "to": self.name(*to), "conditional": conditional})),
            );
            if node.next.ends() {
                edges.push(json!({"from": from, "conditional": conditional}));
            }
        }
        let nodes: Vec<_> = self.nodes.iter().map(GraphNode::to_json).collect();
        json!({"start": self.name(self.start), "nodes": nodes, "edges": edges})
    }
}

impl GraphNode {
    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.into(), value);
            }
        };
        put("name", Some(json!(self.name)));
        put("kind", Some(self.kind.as_str().into()));
        put("streams", Some(json!(self.streams)));
        put("description", self.description.as_deref().map(Value::from));
        put("tags", (!self.tags.is_empty()).then(|| json!(self.tags)));
        put(
            "join",
            match self.runs {
                Runs::Each => None,
                Runs::All(_) => Some("all".into()),
                Runs::Any(..) => Some("any".into()),
            },
        );
        put("concurrency", self.concurrency.map(Value::from));
        put("attempts", self.attempts.map(Value::from));
        put("subgraph", self.subgraph.as_deref().map(Graph::to_json));
        Value::Object(fields)
    }
}

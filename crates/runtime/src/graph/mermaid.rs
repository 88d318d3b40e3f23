//! The graph as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Graph, Next, Runs};
use crate::NodeKind;

impl Graph {
    /// The graph as a Mermaid flowchart (`flowchart TD`): choices are dashed, a subgraph is drawn inside its node.
    ///
    /// ```text
    /// flowchart TD
    ///     start(( )) --> n0
    ///     n0["draft"]
    ///     n1{"review"}
    ///     stop((( )))
    ///     n0 --> n1
    ///     n1 -.-> n0
    ///     n1 -.-> stop
    /// ```
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        line(&mut text, 1, &format!("start(( )) --> n{}", self.start));
        self.draw_nodes(&mut text, 1, "n");
        line(&mut text, 1, "stop((( )))");
        self.draw_edges(&mut text, 1, "n", "stop");
        text
    }

    fn draw_nodes(&self, text: &mut String, depth: usize, prefix: &str) {
        for (index, node) in self.nodes.iter().enumerate() {
            let id = format!("{prefix}{index}");
            let mut label = node.name.to_string();
            if let Some(concurrency) = node.concurrency {
                let _ = write!(label, " (each, {concurrency} at once)");
            }
            match node.runs {
                Runs::Each => {}
                Runs::All(_) => label.push_str(" (all)"),
                Runs::Any(..) => label.push_str(" (first)"),
            }
            if let Some(inner) = &node.subgraph {
                line(text, depth, &format!("subgraph {id}[\"{label}\"]"));
                let within = format!("{id}_");
                inner.draw_nodes(text, depth + 1, &within);
                // The end of the inner workflow is drawn by the edges of the outer one.
                inner.draw_edges(text, depth + 1, &within, "");
                line(text, depth, "end");
                continue;
            }
            let shape = if node.kind == NodeKind::Condition {
                format!("{id}{{\"{label}\"}}")
            } else {
                format!("{id}[\"{label}\"]")
            };
            line(text, depth, &shape);
        }
    }

    fn draw_edges(&self, text: &mut String, depth: usize, prefix: &str, stop: &str) {
        for (index, node) in self.nodes.iter().enumerate() {
            let arrow = if matches!(node.next, Next::Routes { .. }) { "-.->" } else { "-->" };
            for to in node.next.targets() {
                line(text, depth, &format!("{prefix}{index} {arrow} {prefix}{to}"));
            }
            if node.next.ends() && !stop.is_empty() {
                line(text, depth, &format!("{prefix}{index} {arrow} {stop}"));
            }
        }
    }
}

fn line(text: &mut String, depth: usize, what: &str) {
    for _ in 0..depth {
        text.push_str("    ");
    }
    text.push_str(what);
    text.push('\n');
}

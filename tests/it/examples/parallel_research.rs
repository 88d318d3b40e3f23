//! `parallel-research`: branches that join, and items with bounded concurrency.

use ::parallel_research::ResearchModule;
use serde_json::json;
use streamnest_testing::{Error, Transcript, assert_events};

use super::in_process;

#[tokio::test(start_paused = true)]
async fn research_looks_into_three_questions_at_once_and_joins_them_with_the_doubts() -> Result<(), Error> {
    let app = in_process(ResearchModule).await?;
    let run = app.run("parallel-research", json!({"topic": "logs", "breadth": 8})).await?;
    assert_events!(
        run,
        ["status running", .., "node_complete plan", .., "node_start report", .., "status completed"]
    );
    let result = run.result();
    let questions: Vec<_> = result["findings"].as_array().unwrap().iter().map(|f| &f["question"]).collect();
    assert_eq!(questions.len(), 8);
    assert_eq!(json!(questions), result["questions"], "in their order");
    assert_eq!(run.text_by("doubt"), result["doubts"].as_str().unwrap(), "the critic's tokens stream");
    let report = result["report"].as_str().unwrap();
    for finding in result["findings"].as_array().unwrap() {
        assert!(report.contains(finding["answer"].as_str().unwrap()), "{report}");
    }
    assert!(report.ends_with(&format!("## But\n{}\n", result["doubts"].as_str().unwrap())), "{report}");
    assert_eq!(most_at_once(&run), 3);
    Ok(())
}

/// The most items that were under way at once.
fn most_at_once(run: &Transcript) -> usize {
    let (mut under_way, mut most) = (0, 0);
    for line in run.lines() {
        under_way += usize::from(line.starts_with("item_start "));
        under_way -= usize::from(line.starts_with("item_complete "));
        most = most.max(under_way);
    }
    assert_eq!(under_way, 0, "each comes to its end");
    most
}

#[tokio::test(start_paused = true)]
async fn a_breadth_that_cannot_be_is_told_with_its_limit() -> Result<(), Error> {
    let app = in_process(ResearchModule).await?;
    let run = app.run("parallel-research", json!({"topic": "logs", "breadth": 13})).await?;
    let says =
        "node_error plan attempt=1 code=\"node_failed\" message=\"`breadth` is 13; it must be 1 to 12\"";
    assert_events!(run, [.., says, .., "status failed node_failed"]);
    Ok(())
}

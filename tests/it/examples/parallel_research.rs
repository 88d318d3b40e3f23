//! `parallel-research`: branches that join, and items with bounded concurrency.

use ::parallel_research::ResearchModule;
use serde_json::json;
use streamnest_tests::server::Server;

use super::{fast, result, run, text_of};

#[tokio::test]
async fn research_looks_into_three_questions_at_once_and_joins_them_with_the_doubts() {
    let server = Server::start(fast(ResearchModule)).await;
    let said = run(&server, "parallel-research", json!({"topic": "logs", "breadth": 8})).await;
    let result = result(&said);

    let questions: Vec<_> = result["findings"].as_array().unwrap().iter().map(|f| &f["question"]).collect();
    assert_eq!(questions.len(), 8);
    assert_eq!(
        questions,
        result["questions"].as_array().unwrap().iter().collect::<Vec<_>>(),
        "in their order"
    );
    assert_eq!(text_of(&said, "doubt"), result["doubts"].as_str().unwrap(), "the critic's tokens stream");
    let report = result["report"].as_str().unwrap();
    for finding in result["findings"].as_array().unwrap() {
        assert!(report.contains(finding["answer"].as_str().unwrap()), "{report}");
    }
    assert!(report.ends_with(&format!("## But\n{}\n", result["doubts"].as_str().unwrap())), "{report}");

    let mut under_way = 0_i32;
    let mut most = 0;
    for entry in &said {
        match entry["payload"]["type"].as_str() {
            Some("item_start") => under_way += 1,
            Some("item_complete") => under_way -= 1,
            _ => {}
        }
        most = most.max(under_way);
    }
    assert_eq!((most, under_way), (3, 0), "three at once, and each comes to its end");
}

#[tokio::test]
async fn a_breadth_that_cannot_be_is_told_with_its_limit() {
    let server = Server::start(fast(ResearchModule)).await;
    let said = run(&server, "parallel-research", json!({"topic": "logs", "breadth": 13})).await;
    let error = &said.last().unwrap()["payload"]["error"];
    assert_eq!(error["message"], "`breadth` is 13; it must be 1 to 12");
}

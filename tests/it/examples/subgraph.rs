//! `subgraph`: a workflow that runs another one for each of its items.

use ::subgraph::NewsletterModule;
use serde_json::json;
use streamnest_tests::server::Server;

use super::{fast, result, run, text_of};

#[tokio::test]
async fn a_newsletter_runs_the_workflow_of_an_article_for_each_topic() {
    let server = Server::start(fast(NewsletterModule)).await;
    let said = run(&server, "newsletter", json!({"topics": ["the harvest", "the new bridge"]})).await;
    let result = result(&said);

    let articles = result["articles"].as_array().unwrap();
    let topics: Vec<_> = articles.iter().map(|article| article["topic"].as_str().unwrap()).collect();
    assert_eq!(topics, ["the harvest", "the new bridge"], "in their order");
    let mut drafts = 0;
    for article in articles {
        let text = article["text"].as_str().unwrap();
        assert!(text.split_whitespace().count() <= 30, "it was shortened until it fitted: {text}");
        assert!(result["text"].as_str().unwrap().contains(text));
        drafts += article["drafts"].as_u64().unwrap();
    }
    assert!(drafts >= 2);
    let begun = said
        .iter()
        .filter(|entry| entry["nodeId"] == "articles/draft" && entry["payload"]["type"] == "node_start");
    assert_eq!(begun.count() as u64, drafts, "each draft is a visit of the inner node");
    assert!(!text_of(&said, "articles/draft").is_empty(), "inner nodes stream into the outer log");
}

#[tokio::test]
async fn the_inner_workflow_runs_by_itself_too() {
    let server = Server::start(fast(NewsletterModule)).await;
    let said = run(&server, "article", json!({"topic": "the harvest"})).await;
    assert_eq!(result(&said)["topic"], "the harvest");
}

//! `subgraph`: a workflow that runs another one for each of its items.

use ::subgraph::NewsletterModule;
use serde_json::json;
use streamnest_testing::{Error, assert_events};

use super::in_process;

#[tokio::test(start_paused = true)]
async fn a_newsletter_runs_the_workflow_of_an_article_for_each_topic() -> Result<(), Error> {
    let app = in_process(NewsletterModule).await?;
    let run = app.run("newsletter", json!({"topics": ["the harvest", "the new bridge"]})).await?;
    assert_events!(run, [.., "node_complete articles", .., "published publish 2", .., "status completed"]);
    let result = run.result();
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
    let begun = run.lines().iter().filter(|line| line.starts_with("node_start articles/draft "));
    assert_eq!(begun.count() as u64, drafts, "each draft is a visit of the inner node");
    assert!(!run.text_by("articles/draft").is_empty(), "inner nodes stream into the outer log");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_inner_workflow_runs_by_itself_too() -> Result<(), Error> {
    let run = in_process(NewsletterModule).await?.run("article", json!({"topic": "the harvest"})).await?;
    assert_events!(run, ["status running", .., "node_start draft", .., "status completed"]);
    assert_eq!(run.result()["topic"], "the harvest");
    Ok(())
}

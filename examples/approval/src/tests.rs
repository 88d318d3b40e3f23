//! The example, held to what it says: with a model that writes what it is told, and reviewers of all kinds.

use streamnest_testing::{Error, Golden, TestApp, assert_events};

use super::*;

async fn office(drafts: &[&str]) -> Result<TestApp, Error> {
    let model = drafts.iter().fold(ScriptedModel::new(), |model, draft| model.answer(draft));
    TestApp::builder(Streamnest::builder().workflow(PressOffice { model: Arc::new(model) })).start().await
}

#[tokio::test(start_paused = true)]
async fn a_draft_is_written_again_and_goes_out_as_the_reviewer_edited_it() -> Result<(), Error> {
    let app = office(&["The bridge is shut.", "The bridge is shut until May."]).await?;
    let mut run = app.start("press-office", json!({"topic": "The bridge."})).await?;
    run.answer(json!({"verdict": "rewrite", "notes": "Until when?"})).await?;
    run.answer(json!({"verdict": "publish", "text": "The bridge opens in May."})).await?;
    let run = run.finish().await?;
    assert_events!(
        run,
        [
            "status running",
            ..,
            "updates write draft=\"The bridge is shut.\"",
            ..,
            "approval review ask1 \"What shall become of this draft?\"",
            "approval_answer review ask1 answered {\"notes\":\"Until when?\",\"verdict\":\"rewrite\"}",
            ..,
            "updates write draft=\"The bridge is shut until May.\"",
            ..,
            "approval review ask2",
            "approval_answer review ask2 answered",
            ..,
            "published publish characters=24",
            ..,
            "status completed",
        ]
    );
    assert_eq!(run.text(), "The bridge is shut.The bridge is shut until May.");
    assert_eq!(run.result()["published"], "The bridge opens in May.");
    assert_eq!(run.result()["notes"], json!(["Until when?"]));
    Golden::new("tests/golden/rewritten.json").check(&run)
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_is_refused_by_the_name_of_its_field_and_the_run_still_waits() -> Result<(), Error> {
    let app = office(&["The bridge is shut."]).await?;
    let mut run = app.start("press-office", json!({"topic": "The bridge."})).await?;
    let refused = run.answer(json!({"verdict": "burn"})).await.expect_err("nothing is burnt");
    assert_eq!(refused.code(), "invalid_answer");
    assert!(refused.to_string().contains("`verdict`"), "{refused}");
    assert_eq!(run.run().waiting().len(), 1);
    run.answer(json!({"verdict": "discard"})).await?;
    assert_eq!(run.finish().await?.result()["published"], json!(null));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_nobody_answers_for_a_day_is_discarded() -> Result<(), Error> {
    let app = office(&["The bridge is shut."]).await?;
    let run = app.run("press-office", json!({"topic": "The bridge."})).await;
    // A run may say nothing for ten minutes, unless it is told otherwise.
    assert_eq!(run.expect_err("nobody answers").code(), "run_stuck");

    let builder =
        Streamnest::builder().workflow(PressOffice { model: Arc::new(ScriptedModel::new().answer("Shut.")) });
    let app = TestApp::builder(builder).patience(PATIENCE * 2).start().await?;
    let run = app.run("press-office", json!({"topic": "The bridge."})).await?;
    let discarded = "approval_answer review ask1 default {\"verdict\":\"discard\"}";
    assert_events!(run, [.., "approval review ask1", discarded, .., "status completed"]);
    let took = |run: &streamnest_testing::Transcript| {
        run.entries().last().zip(run.entries().first()).map(|(last, first)| last.time().since(first.time()))
    };
    assert_eq!(took(&run), Some(PATIENCE), "it waited for a day");
    assert_eq!(run.result()["published"], json!(null));
    Ok(())
}

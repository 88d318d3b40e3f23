//! Whatever people say and when, and however the run ends: each question comes to at most one end, and what the node was
//! told is what stands in the log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use streamnest_core::{AskId, ExecutionControl as _};
use streamnest_runtime::{NodeContext, NodeResult, Question};
use tokio::time::sleep;

use super::answer;
use crate::support::{Random, cases, chaos, engine, play, start, told};

/// One question: when it is asked, how long its deadline is, whether it has a default, when its node gives it up.
#[derive(Clone, Debug)]
struct Plan {
    after: Duration,
    timeout: Option<Duration>,
    default: bool,
    gives_up: Option<Duration>,
}

fn millis(random: &mut Random, below: u64) -> Duration {
    Duration::from_millis(random.below(below))
}

fn plan(random: &mut Random) -> Plan {
    Plan {
        after: millis(random, 40),
        timeout: random.one_in(2).then(|| millis(random, 60)),
        default: random.one_in(2),
        gives_up: random.one_in(4).then(|| millis(random, 60)),
    }
}

/// What became of a question in its node: nothing if it was given up.
type Heard = Arc<Mutex<HashMap<u64, Result<Value, String>>>>;

async fn asks_one(ctx: &NodeContext, number: u64, plan: &Plan, heard: &Heard) -> NodeResult<()> {
    sleep(plan.after).await;
    let mut question = Question::new("?").about(number);
    if let Some(timeout) = plan.timeout {
        question = question.timeout(timeout);
    }
    if plan.default {
        question = question.default_answer(-1);
    }
    let gives_up = async {
        match plan.gives_up {
            Some(after) => sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let asked = tokio::select! {
        asked = ctx.ask_json(question, json!({"type": "integer"})) => asked,
        () = gives_up => return Ok(()),
    };
    heard.lock().unwrap().insert(number, asked.map_err(|error| error.code().into()));
    Ok(())
}

async fn case(seed: u64) {
    let mut random = Random::from_seed(seed);
    let plans: Arc<Vec<Plan>> = Arc::new((0..1 + random.below(6)).map(|_| plan(&mut random)).collect());
    let heard: Heard = Arc::default();
    let (asked, hears) = (plans.clone(), heard.clone());
    let engine = engine(play(
        |node| node,
        move |ctx: NodeContext| {
            let (plans, heard) = (asked.clone(), hears.clone());
            async move {
                let all = plans.iter().zip(0..).map(|(plan, number)| asks_one(&ctx, number, plan, &heard));
                futures_util::future::try_join_all(all).await?;
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    let mut taken: HashMap<AskId, Value> = HashMap::new();
    let cancels = random.one_in(3).then(|| millis(&mut random, 150));
    let person = async {
        loop {
            sleep(millis(&mut random, 8)).await;
            let ask = random.below(plans.len() as u64 + 1) as u32 + 1;
            let said: Value = if random.one_in(4) { "wrong".into() } else { (random.below(3)).into() };
            let Ok(signalled) = run.signal(answer(ask, said.clone())).await else { continue };
            let first = taken.entry(signalled.ask).or_insert_with(|| said.clone());
            assert_eq!(*first, said, "only the same answer is taken again");
        }
    };
    let cancel = async {
        if let Some(after) = cancels {
            sleep(after).await;
            engine.cancel(run.execution_id(), None).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let told = tokio::select! {
        told = told(&run) => told,
        () = person => unreachable!("a person goes on"),
        () = cancel => unreachable!("it never ends"),
    };
    assert_eq!(run.waiting(), []);
    let questions = told.data("approval");
    let mut ends: HashMap<String, Value> = HashMap::new();
    for end in told.data("approval_answer") {
        let ask = end["ask"].as_str().unwrap().to_owned();
        assert!(ends.insert(ask, end).is_none(), "a question ends once: {told:?}");
    }
    let cancelled = told.ended() == "cancelled";
    assert!(cancelled || told.ended() == "completed", "{told:?}");
    for question in &questions {
        let ask = question["ask"].as_str().unwrap();
        let heard = heard.lock().unwrap().get(&question["about"].as_u64().unwrap()).cloned();
        let Some(end) = ends.remove(ask) else {
            assert!(
                cancelled && heard.is_none(),
                "only a cancel leaves a question without its end: {told:?}"
            );
            continue;
        };
        let taken = taken.get(&ask.parse().unwrap());
        match end["outcome"].as_str().unwrap() {
            "answered" => {
                assert!(taken.is_none_or(|taken| *taken == end["answer"]));
                assert!(heard.is_none_or(|heard| heard == Ok(end["answer"].clone())));
            }
            "default" => assert_eq!((heard.unwrap(), taken), (Ok(json!(-1)), None)),
            "timeout" => assert_eq!((heard.unwrap(), taken), (Err("ask_timeout".into()), None)),
            "withdrawn" => assert_eq!((heard, taken), (None, None)),
            other => panic!("there is no outcome {other}"),
        }
    }
    assert!(ends.is_empty(), "an end without a question: {ends:?}");
    for (ask, said) in taken {
        let stands =
            told.data("approval_answer").iter().any(|end| end["ask"] == json!(ask) && end["answer"] == said);
        assert!(stands, "an answer that was taken stands in the log: {ask} {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_question_comes_to_one_end_and_node_person_and_log_agree_on_it() {
    cases(if chaos() { 20_000 } else { 600 }, case).await;
}

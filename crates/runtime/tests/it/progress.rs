//! Progress: which updates are told, what they carry, and that they are honest.

use std::time::Duration;

use serde_json::{Map, json};
use streamnest_core::payload::Progress;
use streamnest_runtime::{
    Granularity, NodeContext, NodeError, NodeResult, ProgressFormat, ProgressMetadata, ProgressOptions,
    RetryOptions,
};
use tokio::time::sleep;

use crate::support::{Definition, Random, Told, cases, chaos, engine, play, run, start, told};

fn options() -> ProgressOptions {
    ProgressOptions::default()
}

/// A node that tells of `updates` of 100, each after so many milliseconds.
fn tells(options: ProgressOptions, updates: &'static [(u64, f64)]) -> Definition {
    play(
        |node| node.stream_progress(options),
        move |ctx| async move {
            for (pause, current) in updates {
                sleep(Duration::from_millis(*pause)).await;
                ctx.progress(*current, 100).await;
            }
            Ok(())
        },
    )
}

fn percents(told: &Told) -> Vec<f64> {
    told.progress().into_iter().map(|progress| progress.progress).collect()
}

fn milestones(told: &Told) -> Vec<f64> {
    told.progress().into_iter().filter_map(|progress| progress.milestone).collect()
}

#[tokio::test(start_paused = true)]
async fn granularity_says_which_updates_are_told() {
    let updates: &[_] = &[(0, 10.0), (100, 20.0), (1000, 60.0), (10, 70.0), (10, 80.0), (3000, 90.0)];
    let milestone = || options().with_milestones(vec![50.0]);
    let told = run(tells(milestone().with_granularity(Granularity::Coarse), updates)).await;
    assert_eq!(percents(&told), [0.0, 60.0, 100.0]);
    // Fine: 20 is told when its interval is over, 60 by its milestone, 80 a second after that by the timer alone.
    let told = run(tells(milestone(), updates)).await;
    assert_eq!(percents(&told), [0.0, 20.0, 60.0, 80.0, 90.0, 100.0]);
    let told = run(tells(milestone().with_granularity(Granularity::Detailed), updates)).await;
    assert_eq!(percents(&told), [0.0, 10.0, 20.0, 60.0, 70.0, 80.0, 90.0, 100.0]);
    let told = run(tells(options().with_interval(Duration::from_millis(50)), updates)).await;
    assert_eq!(percents(&told), [0.0, 10.0, 20.0, 60.0, 80.0, 90.0, 100.0]);
    let told = run(tells(options().with_enabled(false), updates)).await;
    assert!(told.progress().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_that_came_too_early_is_told_by_the_timer_while_the_node_awaits() {
    let engine = engine(play(
        |node| node.stream_progress(options()),
        |ctx| async move {
            ctx.progress(30, 100).await;
            std::future::pending::<NodeResult<()>>().await
        },
    ));
    let run = start(&engine).await;
    sleep(Duration::from_millis(998)).await;
    let before = run.log().head().last;
    sleep(Duration::from_millis(5)).await;
    assert_eq!(run.log().head().last, before.next());
    run.cancel("enough").await;
    assert_eq!(percents(&told(&run).await), [0.0, 30.0, 30.0]);
}

#[tokio::test(start_paused = true)]
async fn each_milestone_is_told_once_and_in_order_also_when_one_update_jumps_over_several() {
    let of = |milestones: &[f64]| {
        options().with_granularity(Granularity::Coarse).with_milestones(milestones.to_vec())
    };
    let told = run(tells(of(&[75.0, 25.0, 50.0, 25.0]), &[(1, 10.0), (1, 80.0), (1, 80.0), (1, 99.0)])).await;
    assert_eq!(milestones(&told), [25.0, 50.0, 75.0]);
    assert_eq!(percents(&told), [0.0, 80.0, 80.0, 80.0, 100.0]);
    // A node that never told reaches them at its end; 0 and 100 are the start and the end themselves.
    let told = run(tells(of(&[0.0, 50.0, 100.0]), &[])).await;
    assert_eq!(milestones(&told), [0.0, 50.0, 100.0]);
    assert_eq!(percents(&told), [0.0, 100.0, 100.0]);
}

#[tokio::test(start_paused = true)]
async fn eta_and_metrics_are_figures_of_this_visit() {
    let definition = |options: ProgressOptions| {
        play(
            |node| node.stream_progress(options.with_granularity(Granularity::Detailed)),
            |ctx| async move {
                sleep(Duration::from_secs(2)).await;
                let figures = Map::from_iter([("memoryBytes".to_owned(), json!(4096))]);
                ctx.progress_with(20, 80, figures).await;
                Ok(())
            },
        )
    };
    let second = |told: Told| told.progress().swap_remove(1);
    let plain = second(run(definition(options())).await);
    assert_eq!((plain.eta_ms, plain.rate, plain.elapsed_ms, plain.metrics), (None, None, None, None));
    assert_eq!((plain.current, plain.total), (Some(20.0), Some(80.0)));
    let eta = second(run(definition(options().with_include_eta(true))).await);
    // A quarter took two seconds.
    assert_eq!((eta.eta_ms, eta.rate), (Some(6_000), None));
    let metrics = second(run(definition(options().with_include_metrics(true))).await);
    assert_eq!((metrics.eta_ms, metrics.rate, metrics.elapsed_ms), (None, Some(10.0), Some(2_000)));
    assert_eq!(metrics.metrics, json!({"memoryBytes": 4096}).as_object().cloned());
}

#[tokio::test(start_paused = true)]
async fn a_calculator_computes_the_percentage_and_what_is_no_number_changes_nothing() {
    let weigh = |current: f64, total: f64, figures: &ProgressMetadata| {
        let weight = figures.get("weight").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
        current * weight / total * 100.0
    };
    let told = run(play(
        |node| node.stream_progress(options().with_granularity(Granularity::Detailed).with_calculator(weigh)),
        |ctx| async move {
            ctx.progress_with(10, 100, Map::from_iter([("weight".to_owned(), json!(3))])).await;
            ctx.progress(5, 0).await;
            ctx.progress(f64::NAN, 1).await;
            ctx.progress(-5, 1).await;
            ctx.progress(1e300, 1e-300).await;
            ctx.progress(200, 100).await;
            Ok(())
        },
    ))
    .await;
    assert_eq!(percents(&told), [0.0, 30.0, 30.0, 30.0, 30.0, 30.0, 100.0, 100.0]);
    // The first billionth of the work promises more milliseconds than there are numbers for.
    let told = run(play(
        |node| node.stream_progress(options().with_granularity(Granularity::Detailed).with_include_eta(true)),
        |ctx| async move {
            sleep(Duration::from_secs(100)).await;
            ctx.progress(f64::MIN_POSITIVE, 1).await;
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.progress()[1].eta_ms, Some(u64::MAX));
    assert_eq!(told.ended(), "completed");
}

#[tokio::test(start_paused = true)]
async fn the_format_says_what_the_line_for_people_shows() {
    let none = ProgressFormat::default().with_show_percentage(false);
    for (format, display) in [
        (ProgressFormat::default(), Some("33.3 %")),
        (ProgressFormat::default().with_precision(0), Some("33 %")),
        (none.clone(), None),
        (none.clone().with_show_current(true), Some("2")),
        (none.clone().with_show_total(true), Some("of 6")),
        (none.clone().with_show_current(true).with_show_total(true), Some("2/6")),
        (none.with_show_rate(true).with_precision(2), Some("0.50/s")),
        (
            ProgressFormat::default().with_show_current(true).with_show_total(true).with_show_rate(true),
            Some("33.3 % · 2/6 · 0.5/s"),
        ),
    ] {
        let options = options().with_granularity(Granularity::Detailed).with_format(format.clone());
        let told = run(play(
            |node| node.stream_progress(options),
            |ctx| async move {
                sleep(Duration::from_secs(4)).await;
                ctx.progress(2_u64, 6_usize).await;
                Ok(())
            },
        ))
        .await;
        assert_eq!(told.progress()[1].display.as_deref(), display, "{format:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_says_how_a_visit_ended() {
    let half = |ctx: NodeContext| async move {
        ctx.progress(1, 2).await;
        ctx
    };
    let last = |told: &Told| told.progress().pop().map(|last: Progress| (last.progress, last.outcome));
    let told = run(play(
        |node| node.stream_progress(options()),
        move |ctx| async move {
            half(ctx).await;
            Ok(())
        },
    ))
    .await;
    assert_eq!(last(&told), Some((100.0, None)));
    let told = run(play(
        |node| node.stream_progress(options()),
        move |ctx| async move {
            half(ctx).await;
            Err::<(), _>(NodeError::public("on purpose"))
        },
    ))
    .await;
    assert_eq!(last(&told), Some((50.0, Some("failed".into()))));
    let hangs = move |ctx| async move {
        half(ctx).await;
        std::future::pending::<NodeResult<()>>().await
    };
    let told = run(play(|node| node.stream_progress(options()).timeout(Duration::from_secs(1)), hangs)).await;
    assert_eq!(last(&told), Some((50.0, Some("failed".into()))));
    let engine = engine(play(|node| node.stream_progress(options()), hangs));
    let run = start(&engine).await;
    sleep(Duration::from_millis(10)).await;
    run.cancel("on purpose").await;
    assert_eq!(last(&crate::support::told(&run).await), Some((50.0, Some("cancelled".into()))));
}

#[tokio::test(start_paused = true)]
async fn a_visit_that_is_tried_again_goes_on_from_what_it_told_and_fails_only_at_last() {
    let of = |succeeds_at: u32| async move {
        let retry = RetryOptions::default().with_attempts(3).with_backoff(Duration::from_millis(1));
        run(play(
            |node| {
                let options =
                    options().with_granularity(Granularity::Detailed).with_milestones(vec![50.0, 90.0]);
                node.stream_progress(options).retry(retry)
            },
            move |ctx| async move {
                ctx.progress(20, 100).await;
                ctx.progress(80, 100).await;
                if ctx.attempt() < succeeds_at { Err(NodeError::public("busy")) } else { Ok(()) }
            },
        ))
        .await
    };
    let told = of(3).await;
    assert_eq!(percents(&told), [0.0, 20.0, 80.0, 80.0, 80.0, 80.0, 80.0, 80.0, 80.0, 100.0]);
    assert_eq!(milestones(&told), [50.0, 90.0]);
    assert!(told.progress().iter().all(|update| update.outcome.is_none()));
    let told = of(4).await;
    let outcomes: Vec<_> =
        told.progress().into_iter().filter_map(|update| Some((update.attempt, update.outcome?))).collect();
    assert_eq!(outcomes, [(3, "failed".into())]);
    assert_eq!(milestones(&told), [50.0]);
}

/// Whatever a node tells, and however it ends: progress starts at 0, never falls, ends at 100 or says why not, and every
/// milestone that was reached is told once, in order. (That it never falls is checked of every run by `Told`.)
#[tokio::test(start_paused = true)]
async fn progress_is_honest_whatever_a_node_tells() {
    cases(if chaos() { 20_000 } else { 1_000 }, |seed| async move {
        let mut random = Random::from_seed(seed);
        let wanted: Vec<f64> = (0..random.below(6)).map(|_| random.below(101) as f64).collect();
        let granularity = *random.pick(&[Granularity::Coarse, Granularity::Fine, Granularity::Detailed]);
        let interval = Duration::from_millis(random.below(50));
        let fails = random.one_in(2);
        let mut updates = Vec::new();
        for _ in 0..random.below(30) {
            updates.push((random.below(30), random.below(140) as f64 - 20.0));
        }
        let highest = updates.iter().map(|(_, current)| *current).fold(0.0, f64::max).min(100.0);
        let options =
            options().with_milestones(wanted.clone()).with_granularity(granularity).with_interval(interval);
        let told = run(play(
            |node| node.stream_progress(options),
            move |ctx| {
                let updates = updates.clone();
                async move {
                    for (pause, current) in updates {
                        sleep(Duration::from_millis(pause)).await;
                        ctx.progress(current, 100).await;
                    }
                    if fails { Err(NodeError::public("on purpose")) } else { Ok(()) }
                }
            },
        ))
        .await;
        let reached = if fails { highest } else { 100.0 };
        let mut expected: Vec<f64> = wanted.into_iter().filter(|milestone| *milestone <= reached).collect();
        expected.sort_by(f64::total_cmp);
        expected.dedup();
        assert_eq!(milestones(&told), expected);
        let progress = told.progress();
        assert_eq!(progress.first().map(|first| first.progress), Some(0.0));
        let last = progress.last().unwrap();
        assert_eq!((last.progress, last.outcome.is_some()), (reached, fails));
        assert_eq!(progress.iter().filter(|update| update.outcome.is_some()).count(), usize::from(fails));
    })
    .await;
}

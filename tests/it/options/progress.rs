//! `#[stream_progress]`.

use serde_json::Value;
use streamnest::prelude::*;

use super::script::{Log, run, talker};

fn half(current: f64, total: f64, _: &ProgressMetadata) -> f64 {
    current / total * 50.0
}

/// Four quarters, 300 ms each.
const QUARTERS: [&str; 8] = [
    "wait 300",
    "progress 1/4",
    "wait 300",
    "progress 2/4",
    "wait 300",
    "progress 3/4",
    "wait 300",
    "progress 4/4",
];

fn percent(log: &Log) -> Vec<f64> {
    log.progress().iter().map(|update| update["progress"].as_f64().unwrap()).collect()
}

/// A field of the update that tells the half.
fn at_half(log: &Log, field: &str) -> Value {
    log.progress().iter().find(|update| update["progress"] == 50.0).unwrap()[field].clone()
}

macro_rules! detailed {
    ($($option:tt)*) => {
        run(talker!(#[stream_progress(granularity = "detailed", $($option)*)]), &QUARTERS).await
    };
}

pub(crate) async fn prove(option: &str) -> bool {
    let plain = detailed!();
    assert_eq!(percent(&plain), [0.0, 25.0, 50.0, 75.0, 100.0, 100.0]);
    match option {
        "enabled" => {
            assert_eq!(
                run(talker!(#[stream_progress(enabled = false)]), &QUARTERS).await.progress(),
                [Value::Null; 0]
            );
        }
        "interval" => {
            let often = run(talker!(#[stream_progress(interval = "100ms")]), &QUARTERS).await;
            let seldom = run(talker!(#[stream_progress(interval = "1s")]), &QUARTERS).await;
            assert!(percent(&often).len() > percent(&seldom).len(), "{often:?} {seldom:?}");
        }
        "granularity" => {
            let coarse = run(talker!(#[stream_progress(granularity = "coarse")]), &QUARTERS).await;
            assert_eq!(percent(&coarse), [0.0, 100.0]);
        }
        "include_eta" => {
            assert_eq!(at_half(&detailed!(include_eta), "etaMs"), 600);
            assert_eq!(at_half(&plain, "etaMs"), Value::Null);
        }
        "include_metrics" => {
            assert_eq!(at_half(&detailed!(include_metrics), "elapsedMs"), 600);
            assert_eq!(at_half(&plain, "elapsedMs"), Value::Null);
        }
        "milestones" => {
            let log =
                run(talker!(#[stream_progress(granularity = "coarse", milestones(10, 20, 60))]), &QUARTERS)
                    .await;
            let reached: Vec<_> =
                log.progress().iter().filter_map(|update| update["milestone"].as_f64()).collect();
            assert_eq!(reached, [10.0, 20.0, 60.0], "each once, in order");
        }
        "calculator" => {
            assert_eq!(percent(&detailed!(calculator = half)), [0.0, 12.5, 25.0, 37.5, 50.0, 100.0]);
        }
        "format" | "format.show_current" | "format.show_total" => {
            assert_eq!(at_half(&plain, "display"), "50.0 %");
            assert_eq!(at_half(&detailed!(format(show_current, show_total)), "display"), "50.0 % · 2/4");
            assert_eq!(at_half(&detailed!(format(show_current)), "display"), "50.0 % · 2");
            assert_eq!(at_half(&detailed!(format(show_total)), "display"), "50.0 % · of 4");
        }
        "format.show_percentage" => {
            let log = detailed!(format(show_percentage = false, show_current));
            assert_eq!(at_half(&log, "display"), "2");
        }
        "format.show_rate" => {
            assert_eq!(at_half(&detailed!(format(show_rate)), "display"), "50.0 % · 3.3/s");
        }
        "format.precision" => assert_eq!(at_half(&detailed!(format(precision = 3)), "display"), "50.000 %"),
        _ => return false,
    }
    true
}

pub(crate) async fn prove_group() {
    assert!(
        !run(talker!(#[stream_all]), &QUARTERS).await.progress().is_empty(),
        "the default without a group"
    );
    let log = run(talker!(#[stream_all(progress(granularity = "coarse"))]), &QUARTERS).await;
    assert_eq!(percent(&log), [0.0, 100.0]);
}

//! `#[stream_event]`.

use serde_json::json;
use streamnest::{core::Class, prelude::*};

use super::script::{Log, run, talker};

fn enrich(event: Event) -> Event {
    Event::named(event.node().cloned(), event.event_type().clone(), &json!("enriched"))
}

const SAID: [&str; 4] = ["event mine", "event error", "event debug", "event tool_start"];
const FOUR: [&str; 4] = ["event mine", "event mine", "event mine", "event mine"];

/// Those of [`SAID`] that got into the log.
fn said(log: &Log) -> Vec<String> {
    let own = ["mine", "error", "debug", "tool_start"];
    log.types().into_iter().filter(|event_type| own.contains(&event_type.as_str())).collect()
}

pub(crate) async fn prove(option: &str) -> bool {
    let plain = run(talker!(#[stream_event]), &SAID).await;
    assert_eq!(said(&plain), ["mine", "error", "tool_start"]);
    match option {
        "events" => {
            let log = run(talker!(#[stream_event(events("mine", ToolStart))]), &SAID).await;
            assert_eq!(log.types(), ["mine", "tool_start"], "those and nothing else");
            // Naming a stream switches it on.
            let log =
                run(talker!(#[stream_event(events(Token, Progress))]), &["token a", "progress 1/2"]).await;
            assert_eq!((log.text().as_str(), log.progress().is_empty()), ("a", false));
        }
        "enabled" => {
            assert_eq!(run(talker!(#[stream_event(enabled = false)]), &SAID).await.types(), [""; 0]);
        }
        "buffer_size" => {
            assert_eq!(run(talker!(#[stream_event(buffer_size = 2)]), &FOUR).await.appends("mine"), 2);
            assert_eq!(run(talker!(#[stream_event]), &FOUR).await.appends("mine"), 1);
        }
        "batch_size" => {
            assert_eq!(run(talker!(#[stream_event(batch_size = 1)]), &FOUR).await.appends("mine"), 4);
        }
        "transformer" => {
            let data = |log: &Log| {
                let events = log.of(Class::Event);
                events.into_iter().find(|event| event["type"] == "mine").unwrap()["data"].clone()
            };
            assert_eq!(data(&run(talker!(#[stream_event(transformer = enrich)]), &SAID).await), "enriched");
            assert_eq!(data(&plain), "as it was");
        }
        "filter" | "filter.event_types" => {
            let log = run(talker!(#[stream_event(filter(event_types(Error)))]), &SAID).await;
            assert_eq!(log.types(), ["error"]);
        }
        "filter.exclude_types" => {
            let log = run(talker!(#[stream_event(filter(exclude_types("mine", NodeStart)))]), &SAID).await;
            assert_eq!(said(&log), ["error", "tool_start"]);
            assert!(!log.types().contains(&"node_start".into()));
        }
        "filter.min_priority" => {
            assert_eq!(
                run(talker!(#[stream_event(filter(min_priority = "high"))]), &SAID).await.types(),
                ["error"]
            );
        }
        "filter.include_debug" => {
            let log = run(talker!(#[stream_event(filter(include_debug))]), &SAID).await;
            assert_eq!(said(&log), ["mine", "error", "debug", "tool_start"]);
        }
        "delivery" => {
            let of = |log: &Log| {
                let own = log.0.iter().find(|entry| entry.event().event_type().as_str() == "mine").unwrap();
                own.event().delivery()
            };
            assert_eq!(
                of(&run(talker!(#[stream_event(delivery = "exactly-once")]), &SAID).await),
                Delivery::ExactlyOnce
            );
            assert_eq!(
                of(&run(talker!(#[stream_event(delivery = "at-most-once")]), &SAID).await),
                Delivery::AtMostOnce
            );
            assert_eq!(of(&plain), Delivery::AtLeastOnce);
        }
        _ => return false,
    }
    true
}

pub(crate) async fn prove_group() {
    assert!(
        run(talker!(#[stream_all]), &SAID).await.types().contains(&"values".into()),
        "the default emits values"
    );
    assert_eq!(run(talker!(#[stream_all(event(events("mine")))]), &SAID).await.types(), ["mine"]);
}

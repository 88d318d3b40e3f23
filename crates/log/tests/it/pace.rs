//! What an observer hears of runs that end.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use streamnest_core::{Clock as _, Event, NodeName, Status, Timestamp, payload::StatusUpdate};
use streamnest_log::{LogOptions, Pace, RunObserver};

use crate::support::*;

#[derive(Default)]
struct Heard(Mutex<Vec<(Status, Timestamp, Pace)>>);

impl RunObserver for Heard {
    fn ended(&self, last: &StatusUpdate, ended: Timestamp, pace: &Pace) {
        self.0.lock().unwrap().push((last.status, ended, *pace));
    }
}

fn token(content: &str) -> Event {
    let token = json!({"content": content, "index": 0, "count": 1, "visit": 1, "attempt": 1});
    Event::token(NodeName::new("n").unwrap(), &serde_json::from_value(token).unwrap())
}

#[tokio::test]
async fn a_run_that_ends_tells_when_it_said_what() {
    let clock = SetClock::new();
    let registry = registry_at(clock.clone(), LogOptions::default());
    let heard = Arc::new(Heard::default());
    assert!(registry.observe(heard.clone()));
    assert!(!registry.observe(heard.clone()), "one observer is enough");
    let writer = registry.create(&id("run")).await.unwrap();
    let begun = clock.now();
    let millis = |millis| begun.after(Duration::from_millis(millis));
    writer.append([Event::status(&StatusUpdate::running())]).await.unwrap();
    assert_eq!(registry.running(), (1, 0));
    for wait in [300, 20, 40] {
        clock.advance(Duration::from_millis(wait));
        writer.append([token("x")]).await.unwrap();
    }
    clock.advance(Duration::from_millis(100));
    writer.append([event(1)]).await.unwrap();
    assert_eq!(registry.running(), (1, 3));
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    // A stream that is no execution has no pace.
    let stream = registry.create(&streamnest_core::LogName::new("stream").unwrap()).await.unwrap();
    stream.append([event(1)]).await.unwrap();
    assert_eq!(registry.running(), (0, 0));
    let [(status, ended, pace)] = heard.0.lock().unwrap()[..] else { panic!("one run has ended") };
    assert_eq!((status, ended, pace.begun), (Status::Completed, millis(460), begun));
    assert_eq!((pace.token_entries, pace.first_token, pace.last_token), (3, Some(millis(300)), millis(360)));
}

#[tokio::test]
async fn a_run_whose_first_entry_is_its_last_began_elsewhere() {
    let registry = registry_at(SetClock::new(), LogOptions::default());
    let heard = Arc::new(Heard::default());
    assert!(registry.observe(heard.clone()));
    let writer = registry.create(&id("run")).await.unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(writer.log().head().status, Some(Status::Completed));
    assert!(heard.0.lock().unwrap().is_empty(), "nobody knows when it began");
}

use std::time::Duration;

use super::*;

fn tracker(options: ProgressOptions, now: Instant) -> (ProgressTracker, Vec<payload::Progress>) {
    let mut out = Vec::new();
    let tracker =
        ProgressTracker::begin(Arc::new(options), At { visit: 2, attempt: 1, item: None }, now, &mut out);
    (tracker, out)
}

#[test]
fn a_tracker_says_when_it_is_due_and_tells_then() {
    let now = Instant::now();
    let (mut tracker, mut out) = tracker(ProgressOptions::default(), now);
    assert_eq!((tracker.due(), out.len(), out[0].visit), (None, 1, 2));
    let later = now + Duration::from_millis(300);
    tracker.update(1.0, 4.0, ProgressMetadata::new(), later, &mut out).unwrap();
    assert_eq!((tracker.due(), out.len()), (Some(now + Duration::from_secs(1)), 1));
    tracker.tick(now + Duration::from_millis(999), &mut out);
    assert_eq!(out.len(), 1);
    tracker.tick(now + Duration::from_secs(1), &mut out);
    assert_eq!((tracker.due(), out.len(), out[1].progress), (None, 2, 25.0));
    // Nothing new, nothing due.
    tracker.tick(now + Duration::from_secs(10), &mut out);
    assert_eq!(out.len(), 2);
}

#[test]
fn an_interval_longer_than_time_lasts_is_never_over() {
    let now = Instant::now();
    let (mut tracker, mut out) = tracker(ProgressOptions::default().with_interval(Duration::MAX), now);
    tracker.update(1.0, 4.0, ProgressMetadata::new(), now, &mut out).unwrap();
    assert_eq!((tracker.due(), out.len()), (None, 1));
}

#[test]
fn after_the_end_nothing_is_told() {
    let now = Instant::now();
    let (mut tracker, mut out) =
        tracker(ProgressOptions::default().with_granularity(Granularity::Detailed), now);
    tracker.end(Ending::Failed, now, &mut out);
    let told = out.len();
    tracker.update(1.0, 4.0, ProgressMetadata::new(), now, &mut out).unwrap();
    tracker.end(Ending::Succeeded, now, &mut out);
    tracker.tick(now + Duration::from_secs(10), &mut out);
    assert_eq!((out.len(), out[told - 1].outcome.as_deref()), (told, Some("failed")));
}

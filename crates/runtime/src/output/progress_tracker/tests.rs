use std::time::Duration;

use super::*;

fn tracker(options: ProgressOptions, now: Instant) -> (ProgressTracker, Vec<payload::Progress>) {
    let mut out = Vec::new();
    let tracker = ProgressTracker::begin(
        Arc::new(options),
        At { visit: 2, attempt: 1, item: None },
        None,
        now,
        &mut out,
    );
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

#[test]
fn another_attempt_goes_on_from_what_was_told_and_reckons_with_its_own_work() {
    let now = Instant::now();
    let options = ProgressOptions::default()
        .with_granularity(Granularity::Detailed)
        .with_milestones(vec![50.0, 90.0])
        .with_include_eta(true);
    let (mut first, mut out) = tracker(options.clone(), now);
    first.update(80.0, 100.0, ProgressMetadata::new(), now, &mut out).unwrap();
    let told = first.hand_over();
    first.end(Ending::Failed, now, &mut out);
    let at = At { visit: 2, attempt: 2, item: None };
    let mut second = ProgressTracker::begin(Arc::new(options), at, Some(told), now, &mut out);
    let later = now + Duration::from_secs(1);
    second.update(10.0, 100.0, ProgressMetadata::new(), later, &mut out).unwrap();
    second.update(95.0, 100.0, ProgressMetadata::new(), later, &mut out).unwrap();
    second.end(Ending::Succeeded, later, &mut out);
    let said: Vec<_> = out.iter().map(|told| (told.attempt, told.progress, told.milestone)).collect();
    let expected = [
        (1, 0.0, None),
        (1, 80.0, Some(50.0)),
        (2, 80.0, None),
        (2, 80.0, None),
        (2, 95.0, Some(90.0)),
        (2, 100.0, None),
    ];
    assert_eq!(said, expected);
    // A tenth of the work anew took a second: nine are to come, whatever was told before.
    assert_eq!(out[3].eta_ms, Some(9_000));
    assert!(out.iter().all(|told| told.outcome.is_none()));
}

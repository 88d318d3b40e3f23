//! What a reader missed, it is told: once, and exactly.

use streamnest_core::{Delivery, Epoch, Event, EventType, Position, payload::StatusUpdate};
use streamnest_log::{Gap, GapReason, LogOptions, Retention, Start};

use crate::support::{Got, append, batch, drain, entries, event, id, limit, poll, registry, seq};

fn gap(from: u64, to: u64, reason: GapReason) -> Got {
    Got::Gap(Gap { from: seq(from), to: seq(to), reason })
}

#[tokio::test]
async fn a_reader_that_was_passed_by_a_trim_is_told_one_gap_with_the_right_range() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 10).await;
    let mut behind = writer.log().cursor(Start::Beginning);
    let mut ahead = writer.log().cursor(Start::Beginning);
    assert_eq!(batch(poll(&mut behind, limit(2))).len(), 2);
    assert_eq!(drain(&mut ahead, limit(4)), entries(1..=10));
    for up_to in [3, 5, 7] {
        writer.log().trim(seq(up_to)).unwrap();
    }
    let mut expected = vec![gap(3, 7, GapReason::Trimmed)];
    expected.extend(entries(8..=10));
    assert_eq!(drain(&mut behind, limit(100)), expected);
    assert_eq!(drain(&mut ahead, limit(100)), []);
    append(&writer, 1).await;
    assert_eq!(drain(&mut behind, limit(100)), entries([11]));
    assert_eq!(drain(&mut ahead, limit(100)), entries([11]));
}

#[tokio::test]
async fn a_reader_from_the_beginning_of_a_trimmed_log_is_told_what_is_missing() {
    let retention = Retention::default().with_max_entries(3);
    let registry = registry(LogOptions::default().with_retention(retention));
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 10).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    let mut expected = vec![gap(1, 7, GapReason::Trimmed)];
    expected.extend(entries(8..=10));
    assert_eq!(drain(&mut cursor, limit(100)), expected);
}

#[tokio::test]
async fn a_trim_never_forgets_the_newest_entry() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 3).await;
    writer.log().trim(seq(1_000)).unwrap();
    assert_eq!(writer.log().head().trimmed, seq(2));
    let mut cursor = writer.log().cursor(Start::After(writer.log().position(seq(2))));
    assert_eq!(drain(&mut cursor, limit(100)), entries([3]));
}

#[tokio::test]
async fn a_position_of_another_incarnation_is_a_gap_and_never_a_guess() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 5).await;
    writer.log().trim(seq(2)).unwrap();
    let ours = writer.log().identity().epoch();
    let other = Epoch::new(ours.get() - 1);
    let mut expected = vec![gap(1, 2, GapReason::Epoch)];
    expected.extend(entries(3..=5));
    // Of another epoch, and past the end, which this log never handed out.
    for position in [Position::new(other, seq(4)), Position::new(ours, seq(6))] {
        let mut cursor = writer.log().cursor(Start::After(position));
        assert_eq!(drain(&mut cursor, limit(100)), expected, "{position}");
    }
    let mut cursor = writer.log().cursor(Start::After(Position::new(ours, seq(4))));
    assert_eq!(drain(&mut cursor, limit(100)), entries([5]));
}

#[tokio::test]
async fn a_foreign_position_of_a_whole_log_is_told_even_though_nothing_is_missing() {
    let writer = registry(LogOptions::default()).create(&id("run")).await.unwrap();
    append(&writer, 2).await;
    let foreign = Position::new(Epoch::new(7), seq(1));
    let mut cursor = writer.log().cursor(Start::After(foreign));
    let mut expected = vec![gap(1, 0, GapReason::Epoch)];
    expected.extend(entries(1..=2));
    assert_eq!(drain(&mut cursor, limit(100)), expected);
}

#[tokio::test]
async fn a_lagging_at_most_once_reader_is_moved_to_where_it_may_be_and_told() {
    let options = LogOptions::default().with_at_most_once_lag(3);
    let writer = registry(options).create(&id("run")).await.unwrap();
    writer.append([Event::status(&StatusUpdate::running())]).await.unwrap();
    append(&writer, 9).await;
    let mut once = writer.log().cursor(Start::Beginning).with_delivery(Delivery::AtMostOnce);
    let mut every = writer.log().cursor(Start::Beginning);
    // A status is never skipped.
    let mut expected = entries([1]);
    expected.push(gap(2, 7, GapReason::Lagged));
    expected.extend(entries(8..=10));
    assert_eq!(drain(&mut once, limit(100)), expected);
    assert_eq!(drain(&mut every, limit(100)), entries(1..=10));
}

#[tokio::test]
async fn only_entries_that_their_producer_sent_at_most_once_are_skipped_for_others() {
    let options = LogOptions::default().with_at_most_once_lag(2).with_hot_entries(4);
    let writer = registry(options).create(&id("run")).await.unwrap();
    for n in 1..=9 {
        let once = matches!(n, 2 | 3 | 5 | 9);
        let delivery = if once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
        writer.append([event(n).with_delivery(delivery)]).await.unwrap();
    }
    // The first ones are read back from the store, the last ones are at hand. 9 is not lagged for.
    let mut cursor = writer.log().cursor(Start::Beginning);
    let expected = [
        entries([1]),
        vec![gap(2, 3, GapReason::Lagged)],
        entries([4]),
        vec![gap(5, 5, GapReason::Lagged)],
        entries(6..=9),
    ];
    assert_eq!(drain(&mut cursor, limit(100)), expected.concat());
}

#[tokio::test]
async fn the_names_of_reasons_are_those_of_the_wire() {
    let names = [GapReason::Trimmed, GapReason::Epoch, GapReason::Lagged].map(GapReason::as_str);
    assert_eq!(names, ["trimmed", "epoch", "lagged"]);
}

#[tokio::test]
async fn what_is_older_than_the_hot_tail_is_read_from_the_store() {
    let options = LogOptions::default().with_hot_entries(3);
    let writer = registry(options).create(&id("run")).await.unwrap();
    append(&writer, 20).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    assert_eq!(drain(&mut cursor, limit(7)), entries(1..=20));
    let mut late = writer.log().cursor(Start::After(writer.log().position(seq(17))));
    assert_eq!(batch(poll(&mut late, limit(100))).len(), 3);
    writer.append([Event::named(None, EventType::CUSTOM, &1.into())]).await.unwrap();
    assert_eq!(drain(&mut late, limit(7)), entries([21]));
}

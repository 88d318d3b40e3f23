//! What the event stream processor does with lists and with live views.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join};
use serde_json::json;
use streamnest_core::{Event, EventType, ExecutionId, NodeName, Timestamp, payload::StatusUpdate};
use streamnest_log::{LogOptions, Registry, Start, Writer};
use streamnest_runtime::{
    AggregatedEvents, EventCounts, EventStreamProcessorOptions, EventStreamProcessorService, FilterCriteria,
    StreamUpdate,
};
use tokio::time::sleep;

use crate::support::{memory, registry};

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn event(node: Option<&str>, event_type: &str, number: u32) -> Event {
    let node = node.map(|node| NodeName::new(node).unwrap());
    Event::named(node, EventType::new(event_type).unwrap(), &json!(number))
}

fn service() -> (Registry, EventStreamProcessorService) {
    let logs = registry(memory(), LogOptions::default());
    let options = EventStreamProcessorOptions::default().with_max_types(3);
    (logs.clone(), EventStreamProcessorService::new(logs, options).unwrap())
}

/// A finished execution `a` with some events of two nodes, and a running one `b`.
async fn filled() -> (EventStreamProcessorService, Writer, Vec<StreamUpdate>) {
    let (logs, service) = service();
    let a = logs.create(&id("a")).await.unwrap();
    let said = [
        event(None, "workflow_start", 1),
        event(Some("plan"), "node:start", 2),
        event(Some("plan"), "found", 3),
        event(Some("write"), "node_start", 4),
        event(Some("write"), "found", 5),
    ];
    a.append(said).await.unwrap();
    a.finish(StatusUpdate::completed(json!(6))).await.unwrap();
    let b = logs.create(&id("b")).await.unwrap();
    b.append([event(Some("plan"), "found", 7)]).await.unwrap();
    let mut updates: Vec<StreamUpdate> =
        service.replay(&id("a"), Start::Beginning).unwrap().items().try_collect().await.unwrap();
    updates.push(service.replay(&id("b"), Start::Beginning).unwrap().items().next().await.unwrap().unwrap());
    (service, b, updates)
}

async fn numbers(view: streamnest_runtime::Observable<StreamUpdate>) -> Vec<u64> {
    view.items().map(|update| update.unwrap().data().as_u64().unwrap_or(0)).collect().await
}

#[tokio::test]
async fn events_are_chosen_by_type_execution_node_and_time() {
    let (service, _b, updates) = filled().await;
    let all = FilterCriteria::all;
    let check = async |criteria: FilterCriteria, expected: &[u64]| {
        assert_eq!(
            numbers(service.filter_events(updates.clone(), criteria.clone())).await,
            expected,
            "{criteria:?}"
        );
    };
    let found = || [EventType::new("found").unwrap()];
    let plan = || [NodeName::new("plan").unwrap()];
    check(all(), &[1, 2, 3, 4, 5, 0, 7]).await;
    check(all().with_types([EventType::NODE_START]), &[2, 4]).await;
    check(all().with_types(found()), &[3, 5, 7]).await;
    check(all().with_classes([streamnest_core::Class::Status]).with_types(found()), &[3, 5, 0, 7]).await;
    check(all().with_nodes(plan()), &[2, 3, 7]).await;
    check(all().with_executions([id("b")]), &[7]).await;
    check(all().with_executions([id("a")]).with_nodes(plan()).with_types(found()), &[3]).await;
    check(all().with_executions([]), &[]).await;
    check(all().with_nodes([]), &[]).await;
    check(all().with_types([]), &[]).await;
    check(all().with_types([]).with_classes([streamnest_core::Class::Status]), &[0]).await;
    let now = updates[0].timestamp();
    let later = Timestamp::from_micros(now.as_micros() + 1);
    check(all().with_start(now).with_end(later), &[1, 2, 3, 4, 5, 0, 7]).await;
    check(all().with_start(later), &[]).await;
    check(all().with_end(now), &[]).await;
}

#[tokio::test]
async fn events_are_aggregated_grouped_counted_and_transformed() {
    let (service, _b, updates) = filled().await;
    let told = service.aggregate_by_execution(&id("a"), updates.clone()).items();
    let aggregated: AggregatedEvents = told.map(Result::unwrap).collect::<Vec<_>>().await.pop().unwrap();
    let sizes: BTreeMap<&str, usize> =
        aggregated.by_type.iter().map(|(kind, of)| (kind.as_str(), of.len())).collect();
    assert_eq!(sizes, [("found", 2), ("node_start", 2), ("workflow_start", 1)].into());
    assert_eq!((aggregated.other, aggregated.older), (1, 0), "the fourth type is counted apart");
    let heard = Arc::new(Mutex::new(BTreeMap::<String, Vec<u64>>::new()));
    let into = heard.clone();
    let events = updates.iter().filter(|update| update.status().is_none()).cloned().collect::<Vec<_>>();
    let grouped = service.group_events_by_type(events.clone()).subscribe(move |group| {
        let (into, key) = (into.clone(), group.key().as_ref().unwrap().to_string());
        group.for_each(move |update| {
            into.lock().unwrap().entry(key.clone()).or_default().push(update.data().as_u64().unwrap());
        });
    });
    grouped.ended().await.unwrap();
    let expected = [("found", vec![3, 5, 7]), ("node_start", vec![2, 4]), ("workflow_start", vec![1])];
    assert_eq!(*heard.lock().unwrap(), expected.map(|(key, of)| (String::from(key), of)).into());
    let counts: Vec<EventCounts> = service.count_events(updates).items().try_collect().await.unwrap();
    let last = counts.last().unwrap();
    assert_eq!(counts[0].total, 1, "the first one is told at once");
    assert_eq!((last.total, last.by_type.len(), last.other), (7, 3, 1), "the fourth type is counted apart");
    assert_eq!(last.by_type[&EventType::NODE_START], 2);
    assert_eq!(last.first, last.last, "the clock of this test stands");
    let doubled = service.transform_events(events, |update| update.data().as_u64().unwrap() * 2);
    let doubled: Vec<u64> = doubled.items().try_collect().await.unwrap();
    assert_eq!(doubled, [2, 4, 6, 8, 10, 14]);
}

#[tokio::test(start_paused = true)]
async fn counts_and_aggregations_of_live_events_are_told_in_an_interval_and_bounded() {
    let logs = registry(memory(), LogOptions::default());
    let options =
        EventStreamProcessorOptions::default().with_max_events(2).with_interval(Duration::from_secs(5));
    let service = EventStreamProcessorService::new(logs.clone(), options).unwrap();
    let writer = logs.create(&id("live")).await.unwrap();
    let other = logs.create(&id("other")).await.unwrap();
    let live = service.live(FilterCriteria::all().with_types([EventType::new("n").unwrap()]));
    let mut counts = service.count_events(live.clone()).items();
    let mut aggregated = service.aggregate_by_execution(&id("live"), live).items();
    let began = tokio::time::Instant::now();
    let mut next = async || {
        let (counts, aggregated) = join(counts.next(), aggregated.next()).await;
        let (counts, aggregated) = (counts.unwrap().unwrap(), aggregated.unwrap().unwrap());
        let of = aggregated.by_type.values().flatten().map(|update| update.data().as_u64().unwrap());
        (began.elapsed().as_secs(), counts.total, of.collect::<Vec<_>>(), aggregated.older)
    };
    writer.append([event(None, "n", 1)]).await.unwrap();
    assert_eq!(next().await, (0, 1, vec![1], 0));
    for number in 2..=1_000 {
        writer.append([event(None, "n", number)]).await.unwrap();
        other.append([event(None, "n", number)]).await.unwrap();
    }
    assert_eq!(next().await, (5, 1_999, vec![999, 1_000], 998), "once, of all that came meanwhile");
    sleep(Duration::from_secs(60)).await;
    writer.append([event(None, "n", 1_001)]).await.unwrap();
    assert_eq!(next().await, (65, 2_000, vec![1_000, 1_001], 999), "at once after a quiet time");
}

#[tokio::test]
async fn events_of_more_types_than_are_told_apart_are_one_group_more_and_end_nothing() {
    let (service, _b, updates) = filled().await;
    let mut groups = service.group_events_by_type(updates).items();
    let heard = Arc::new(Mutex::new(BTreeMap::<Option<String>, usize>::new()));
    while let Some(group) = groups.next().await {
        let group = group.unwrap();
        let (into, key) = (heard.clone(), group.key().as_ref().map(ToString::to_string));
        group.for_each(move |_| *into.lock().unwrap().entry(key.clone()).or_default() += 1);
    }
    let known = [("found", 3), ("node_start", 2), ("workflow_start", 1)];
    let mut expected: BTreeMap<_, _> = known.map(|(key, of)| (Some(key.into()), of)).into();
    expected.insert(None, 1);
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_live_view_takes_no_terminal_status_that_its_criteria_leave_out() {
    let (logs, service) = service();
    let mut items = service.live(FilterCriteria::all().with_types([EventType::new("n").unwrap()])).items();
    for execution in ["a", "b"] {
        let writer = logs.create(&id(execution)).await.unwrap();
        writer.append([event(None, "n", 1)]).await.unwrap();
        assert_eq!(items.next().await.unwrap().unwrap().event_type().as_str(), "n");
        writer.finish(StatusUpdate::completed(json!(1))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn live_events_come_in_batches_of_a_size_or_after_a_quiet_time() {
    let (logs, service) = service();
    let writer = logs.create(&id("live")).await.unwrap();
    let live = service.live(FilterCriteria::all().with_types([EventType::new("n").unwrap()]));
    let mut batches = service.process_batch(live, 3, Duration::from_millis(100)).items();
    let mut next = async || -> Vec<u64> {
        let batch = batches.next().await.unwrap().unwrap();
        batch.iter().map(|update| update.data().as_u64().unwrap()).collect()
    };
    writer.append((1..=4).map(|number| event(None, "n", number))).await.unwrap();
    assert_eq!(next().await, [1, 2, 3]);
    let began = tokio::time::Instant::now();
    assert_eq!(next().await, [4]);
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    let later = writer.clone();
    tokio::spawn(async move {
        for number in 5..=6 {
            sleep(Duration::from_millis(80)).await;
            later.append([event(None, "n", number)]).await.unwrap();
        }
    });
    assert_eq!(next().await, [5, 6]);
    assert_eq!(began.elapsed(), Duration::from_millis(100 + 80 + 80 + 100));
}

#[tokio::test]
async fn a_replay_goes_on_exactly_after_the_position_it_is_given() {
    let (service, b, updates) = filled().await;
    for (index, update) in updates.iter().take(6).enumerate() {
        let rest = numbers(service.replay(&id("a"), Start::After(update.position())).unwrap()).await;
        assert_eq!(rest, [1, 2, 3, 4, 5, 0][index + 1..]);
    }
    // Of a running execution it goes on live.
    let mut items = service.replay(&id("b"), Start::After(updates[6].position())).unwrap().items();
    b.append([event(None, "found", 8)]).await.unwrap();
    assert_eq!(items.next().await.unwrap().unwrap().data(), json!(8));
    assert_eq!(service.replay(&id("c"), Start::Beginning).unwrap_err().code(), "unknown_execution");
}

#[tokio::test]
async fn bounds_that_leave_no_room_are_refused_by_name() {
    let logs = registry(memory(), LogOptions::default());
    let options = EventStreamProcessorOptions::default;
    for (wrong, told) in [
        (options().with_max_types(0), "`EventStreamProcessorOptions::max_types` is 0; it must be at least 1"),
        (
            options().with_max_events(0),
            "`EventStreamProcessorOptions::max_events` is 0; it must be at least 1",
        ),
        (
            options().with_interval(Duration::ZERO),
            "`EventStreamProcessorOptions::interval` is 0ns; it must be a time above zero",
        ),
    ] {
        let refused = EventStreamProcessorService::new(logs.clone(), wrong).unwrap_err();
        assert_eq!((refused.code(), refused.to_string().as_str()), ("invalid_option", told));
    }
    let least = options().with_max_types(1).with_max_events(1).with_interval(Duration::from_nanos(1));
    assert_eq!(EventStreamProcessorService::new(logs, least.clone()).unwrap().options(), &least);
}

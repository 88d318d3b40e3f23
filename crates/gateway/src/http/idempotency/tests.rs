use streamnest_core::Position;

use super::*;
use crate::http::executions::StartedBody;

fn request(input: i32) -> StartExecution {
    StartExecution {
        workflow: "w".into(),
        input: input.into(),
        execution_id: None,
        on_disconnect: None,
        trace: None,
    }
}

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn answer(claim: Claim<'_>) {
    let Claim::Open(claimed) = claim else { panic!("is answered already") };
    let body = StartedBody::new("", claimed.execution_id().clone(), Position::BEFORE_FIRST, false);
    claimed.answer(&body);
}

fn answered(keys: &Idempotency, key: &str) -> Option<ExecutionId> {
    match keys.claim(key, "ada", None, &request(1), id("fresh")).unwrap() {
        Claim::Answered(body) => Some(body.execution_id().clone()),
        Claim::Open(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_one_execution_until_it_expires() {
    let keys = Idempotency::new(8, Duration::from_secs(60));
    answer(keys.claim("a", "ada", None, &request(1), id("one")).unwrap());
    assert_eq!(answered(&keys, "a"), Some(id("one")));
    assert!(keys.claim("a", "ada", None, &request(2), id("two")).is_err(), "another request of the same key");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(answered(&keys, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_start_failed_is_free_again() {
    let keys = Idempotency::new(8, Duration::from_secs(60));
    drop(keys.claim("a", "ada", None, &request(1), id("one")).unwrap());
    answer(keys.claim("a", "ada", None, &request(2), id("two")).unwrap());
}

#[tokio::test(start_paused = true)]
async fn two_that_come_at_once_start_the_same_execution() {
    let keys = Idempotency::new(8, Duration::from_secs(60));
    let (Claim::Open(first), Claim::Open(second)) = (
        keys.claim("a", "ada", None, &request(1), id("one")).unwrap(),
        keys.claim("a", "ada", None, &request(1), id("two")).unwrap(),
    ) else {
        panic!("neither is answered");
    };
    assert_eq!(first.execution_id(), second.execution_id());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_key_makes_room() {
    let keys = Idempotency::new(2, Duration::from_secs(60));
    for key in ["a", "b", "c"] {
        answer(keys.claim(key, "ada", None, &request(1), id(key)).unwrap());
    }
    assert_eq!(answered(&keys, "c"), Some(id("c")));
    assert_eq!(answered(&keys, "b"), Some(id("b")));
    assert_eq!(answered(&keys, "a"), None);
}

#[test]
fn a_key_has_a_legal_length() {
    let keys = Idempotency::new(2, Duration::from_secs(60));
    assert!(keys.claim("", "ada", None, &request(1), id("a")).is_err());
    assert!(keys.claim(&"x".repeat(256), "ada", None, &request(1), id("a")).is_err());
}

#[tokio::test(start_paused = true)]
async fn everybody_has_keys_of_their_own() {
    let keys = Idempotency::new(8, Duration::from_secs(60));
    answer(keys.claim("a", "ada", None, &request(1), id("one")).unwrap());
    let Claim::Open(claimed) = keys.claim("a", "eve", None, &request(2), id("two")).unwrap() else {
        panic!("the key of another is taken for one's own")
    };
    assert_eq!(claimed.execution_id(), &id("two"));
}

#[tokio::test(start_paused = true)]
async fn starts_that_are_under_way_are_bounded_and_forget_no_key() {
    let keys = Idempotency::new(2, Duration::from_secs(60));
    answer(keys.claim("a", "ada", None, &request(1), id("a")).unwrap());
    let open: Vec<_> =
        ["b", "c"].map(|key| keys.claim(key, "ada", None, &request(1), id(key)).unwrap()).into();
    let refused = keys.claim("d", "ada", None, &request(1), id("d")).err().unwrap();
    assert_eq!(refused.code(), "too_many_keyed_starts");
    drop(open);
    assert_eq!(answered(&keys, "a"), Some(id("a")));
    assert!(keys.claim("d", "ada", None, &request(1), id("d")).is_ok(), "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_while_one_of_its_requests_is_under_way() {
    let keys = Idempotency::new(2, Duration::from_secs(60));
    let claim = |id| keys.claim("a", "ada", None, &request(1), id).unwrap();
    let (first, second) = (claim(id("one")), claim(id("two")));
    drop(first);
    let Claim::Open(third) = claim(id("three")) else { panic!("is answered already") };
    assert_eq!(third.execution_id(), &id("one"));
    answer(second);
    drop(third);
    assert_eq!(answered(&keys, "a"), Some(id("one")));
}

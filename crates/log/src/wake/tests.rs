use super::*;

#[test]
fn readers_that_come_and_go_while_the_log_is_silent_take_no_memory() {
    let mut waiters = Waiters::default();
    let mut stays = None;
    waiters.wait(&mut stays, Waker::noop());
    for _ in 0..1_000 {
        let mut tickets = [None; 50];
        for (n, ticket) in tickets.iter_mut().enumerate() {
            waiters.wait(ticket, Waker::noop());
            if n % 2 == 0 {
                waiters.wait(ticket, Waker::noop());
            }
        }
        tickets.iter_mut().rev().for_each(|ticket| waiters.leave(ticket));
    }
    assert_eq!(waiters.others.len(), 50);
    assert_eq!(waiters.free.len(), 50);
    assert_eq!(waiters.take().into_iter().count(), 1, "only who stays is woken");
}

#[test]
fn a_place_of_an_earlier_round_is_void() {
    let mut waiters = Waiters::default();
    let (mut early, mut late) = (None, None);
    waiters.wait(&mut early, Waker::noop());
    assert_eq!(waiters.take().into_iter().count(), 1);
    waiters.wait(&mut late, Waker::noop());
    // Both stand at the first place, of different rounds.
    waiters.leave(&mut early);
    assert_eq!(waiters.take().into_iter().count(), 1, "who left earlier takes nobody's place");
}

#[test]
fn memory_for_a_crowd_is_given_back_when_the_crowd_has_gone() {
    let mut waiters = Waiters::default();
    let mut tickets = vec![None; 10_000];
    tickets.iter_mut().for_each(|ticket| waiters.wait(ticket, Waker::noop()));
    tickets.iter_mut().for_each(|ticket| waiters.leave(ticket));
    for _ in 0..2 {
        let mut one = None;
        waiters.wait(&mut one, Waker::noop());
        let _ = waiters.take();
    }
    assert!(waiters.others.capacity() < 100 && waiters.free.capacity() < 100);
}

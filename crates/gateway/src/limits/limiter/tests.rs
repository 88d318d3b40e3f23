use tokio::time::advance;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_right_one_is_refused_and_the_next_window_lets_all_through() {
    let limiter = Limiter::new(3, WINDOW, 3, 16);
    for round in 0..3 {
        for at in 0..3 {
            assert_eq!(limiter.take(&"ada", 1), Ok(()), "{at} of round {round}");
        }
        let wait = limiter.take(&"ada", 1).unwrap_err();
        assert_eq!(wait, WINDOW / 3, "after which there is one again");
        assert_eq!(limiter.take(&"eve", 1), Ok(()), "another's are her own");
        advance(WINDOW).await;
    }
    // After the time that was told, one gets through and no more.
    for _ in 0..3 {
        limiter.take(&"ada", 1).unwrap();
    }
    advance(limiter.take(&"ada", 1).unwrap_err()).await;
    assert_eq!(limiter.take(&"ada", 1), Ok(()));
    assert!(limiter.take(&"ada", 1).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_weight_is_taken_whole_or_not_at_all_and_at_most_a_burst() {
    let limiter = Limiter::new(10, Duration::from_secs(1), 20, 16);
    assert_eq!(limiter.take(&1, 15), Ok(()));
    assert_eq!(limiter.take(&1, 10).unwrap_err(), Duration::from_millis(500));
    assert_eq!(limiter.take(&1, 5), Ok(()));
    assert_eq!(limiter.take(&1, 1_000).unwrap_err(), Duration::from_secs(2), "as for a burst of 20");
    assert_eq!(limiter.take(&1, 0), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_takes_no_memory_and_shares_one_place() {
    let limiter = Limiter::new(2, WINDOW, 2, 100);
    for key in 0..100 {
        limiter.take(&key, 1).unwrap();
    }
    let through = (100..10_000).filter(|key| limiter.take(key, 1).is_ok()).count();
    assert_eq!((limiter.len(), through), (100, 2));
    assert_eq!(limiter.take(&7, 1), Ok(()), "who is known keeps its place");
    advance(2 * WINDOW).await;
    limiter.take(&20_000, 1).unwrap();
    assert_eq!(limiter.len(), 1, "those of an earlier window are forgotten");
}

#[tokio::test(start_paused = true)]
async fn who_was_quiet_for_a_window_is_forgotten_though_there_is_room_for_more() {
    let limiter = Limiter::new(2, WINDOW, 2, 65_536);
    for key in 0..FEW_KEYS {
        limiter.take(&key, 2).unwrap();
    }
    assert_eq!(limiter.len(), FEW_KEYS);
    advance(2 * WINDOW).await;
    limiter.take(&FEW_KEYS, 1).unwrap();
    assert_eq!(limiter.len(), 1);
}

use tokio::time::advance;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn the_right_one_is_refused_and_the_next_window_lets_all_through() {
    let limiter = Limiter::new(3, WINDOW, 3, 16);
    for round in 0..3 {
        for at in 0..3 {
            assert_eq!(limiter.take(&"ada"), Ok(()), "{at} of round {round}");
        }
        let wait = limiter.take(&"ada").unwrap_err();
        assert_eq!(wait, WINDOW / 3, "after which there is one again");
        assert_eq!(limiter.take(&"eve"), Ok(()), "another's are her own");
        advance(WINDOW).await;
    }
    // After the time that was told, one gets through and no more.
    for _ in 0..3 {
        limiter.take(&"ada").unwrap();
    }
    advance(limiter.take(&"ada").unwrap_err()).await;
    assert_eq!(limiter.take(&"ada"), Ok(()));
    assert!(limiter.take(&"ada").is_err());
}

#[tokio::test(start_paused = true)]
async fn all_that_is_charged_is_made_good_before_there_is_more() {
    let limiter = Limiter::new(10, Duration::from_secs(1), 20, 16);
    let free = |weight| limiter.check(&1, weight);
    assert_eq!(free(20), Ok(()), "a whole burst");
    limiter.charge(&1, 15);
    assert_eq!((free(5), free(10)), (Ok(()), Err(Duration::from_millis(500))));
    // Five bursts more than there is.
    limiter.charge(&1, 105);
    for (weight, wait) in [(1, 10_100), (20, 12_000), (1_000, 12_000)] {
        assert_eq!(free(weight), Err(Duration::from_millis(wait)), "{weight}");
    }
    advance(Duration::from_millis(10_100)).await;
    assert_eq!((free(1), free(2)), (Ok(()), Err(Duration::from_millis(100))));
    assert_eq!(limiter.check(&2, 20), Ok(()), "another's are her own");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_as_told_takes_no_more_than_the_limit_and_a_burst() {
    let limiter = Limiter::new(100, Duration::from_secs(1), 30, 16);
    let (began, mut taken) = (Instant::now(), 0);
    for weight in (1..200).cycle().take(2_000) {
        while let Err(wait) = limiter.check(&1, weight) {
            advance(wait).await;
        }
        limiter.charge(&1, weight);
        taken += u64::from(weight);
        let most = began.elapsed().as_secs_f64() * 100.0 + f64::from(weight.max(30));
        assert!(taken as f64 <= most + 0.001, "{taken} after {:?}", began.elapsed());
    }
    let rate = taken as f64 / began.elapsed().as_secs_f64();
    assert!(rate > 99.0, "{rate} a second, and no less than may be");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_takes_no_memory_and_shares_one_place() {
    let limiter = Limiter::new(2, WINDOW, 2, 100);
    for key in 0..100 {
        limiter.take(&key).unwrap();
    }
    let through = (100..10_000).filter(|key| limiter.take(key).is_ok()).count();
    assert_eq!((limiter.len(), through), (100, 2));
    assert_eq!(limiter.take(&7), Ok(()), "who is known keeps its place");
    advance(2 * WINDOW).await;
    limiter.take(&20_000).unwrap();
    assert_eq!(limiter.len(), 1, "those of an earlier window are forgotten");
}

#[tokio::test(start_paused = true)]
async fn who_was_quiet_for_a_window_is_forgotten_though_there_is_room_for_more() {
    let limiter = Limiter::new(2, WINDOW, 2, 65_536);
    for key in 0..FEW_KEYS {
        limiter.charge(&key, 2);
    }
    assert_eq!(limiter.len(), FEW_KEYS);
    advance(2 * WINDOW).await;
    limiter.take(&FEW_KEYS).unwrap();
    assert_eq!(limiter.len(), 1);
}

use super::*;

fn shares(limit: usize) -> Shares<&'static str, u32> {
    Shares::new(limit, Duration::from_secs(60))
}

fn holds(shares: &mut Shares<&'static str, u32>, key: &str) -> bool {
    shares.get_mut(key).is_some()
}

#[tokio::test(start_paused = true)]
async fn whoever_has_most_makes_room_with_its_oldest() {
    let mut shares = shares(4);
    shares.insert("ada", "ada-1".into(), 1);
    for count in 0..100 {
        shares.insert("mallory", format!("mallory-{count}").into(), count);
    }
    assert!(holds(&mut shares, "ada-1"));
    let mine = ["mallory-96", "mallory-97", "mallory-98", "mallory-99"].map(|key| holds(&mut shares, key));
    assert_eq!(mine, [false, true, true, true]);
    // A third one takes of the one that has most, too.
    shares.insert("eve", "eve-1".into(), 1);
    assert!(holds(&mut shares, "ada-1") && holds(&mut shares, "eve-1"));
    assert_eq!((shares.held.len(), shares.ages.len()), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_or_expired_takes_no_room() {
    let mut shares = shares(2);
    for count in 0..100 {
        shares.insert("mallory", "m".into(), count);
        assert_eq!(shares.remove("m"), Some(count));
    }
    shares.insert("ada", "a".into(), 1);
    shares.insert("ada", "b".into(), 2);
    assert!(holds(&mut shares, "a") && holds(&mut shares, "b"));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!holds(&mut shares, "a"));
    let left = (shares.held.len(), shares.owned.len(), shares.ranks.len(), shares.ages.len());
    assert_eq!(left, (0, 0, 0, 0));
}

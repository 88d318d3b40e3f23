use std::time::Instant;

use super::*;

#[test]
fn reads_the_ticks_of_a_process_with_an_awkward_name() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 4 0 100 0 0";
    assert_eq!(parse_stat(stat), Some(Duration::from_secs(3)));
    assert_eq!(parse_stat("42 (short) S 1"), None);
}

#[test]
fn reads_the_rollup_in_bytes() {
    let text = "00400000-7fff rollup\nRss:  2048 kB\nPss:   100 kB\nPss_Dirty: 7 kB\n";
    assert_eq!(parse_rollup(text, "Rss:"), Some(2048 * 1024));
    assert_eq!(parse_rollup(text, "Pss:"), Some(100 * 1024));
    assert_eq!(parse_rollup(text, "Swap:"), None);
}

#[test]
fn sees_its_own_work_and_memory() {
    let before = cpu(std::process::id()).unwrap();
    let held = vec![1_u8; 32 << 20];
    let start = Instant::now();
    let mut spun = 0_u64;
    while start.elapsed() < Duration::from_millis(200) {
        spun = spun.wrapping_add(u64::from(held[spun as usize % held.len()]));
    }
    let spent = cpu(std::process::id()).unwrap().saturating_sub(before);
    assert!(spent > Duration::from_millis(20), "{spent:?} for {spun} turns");
    let memory = memory(std::process::id()).unwrap();
    assert!(memory.rss > 32 << 20 && memory.pss <= memory.rss, "{memory:?}");
}

#[test]
fn a_process_that_is_gone_is_an_error() {
    assert!(matches!(cpu(u32::MAX - 1), Err(Error::Accounting { .. })));
}

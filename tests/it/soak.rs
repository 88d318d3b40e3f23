//! A server that strangers visit for long: 200 connections a second, every other one of them rude.

mod polite;
mod rude;
mod site;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use streamnest_tests::{descriptors, footprint::Footprint, random::chaos};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use self::site::{Site, Times};

/// How often somebody connects, a second.
const RATE: u32 = 200;
/// By how much memory may have grown when all have gone, in bytes: what an allocator keeps and the kernel counts by pages.
const MEMORY_BOUND: usize = 16 << 20;
/// How long after the last one has come everybody may take to be gone, beyond what the server's own times say.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long visitors come before the base line is taken, how long after it, and what the server waits for.
fn form() -> (Duration, Duration, Times) {
    if chaos() {
        (Duration::from_secs(120), Duration::from_secs(20 * 60), Times::default())
    } else {
        (Duration::from_secs(10), Duration::from_secs(60), Times::short())
    }
}

/// What was seen while visitors came: seconds since the first look, and what the server took then.
type Samples = Vec<(f64, Footprint)>;

/// Lets so many seconds' visitors come, each at its time, and waits until the last one has gone; what was seen, and how many
/// came a second.
async fn visit(site: &Arc<Site>, duration: Duration) -> (Samples, f64) {
    let began = tokio::time::Instant::now();
    let looking = {
        let site = site.clone();
        let every = duration / 120;
        tokio::spawn(async move {
            let mut samples = Samples::new();
            while began.elapsed() < duration {
                samples.push((began.elapsed().as_secs_f64(), site.footprint().await));
                sleep(every).await;
            }
            samples
        })
    };
    let mut visitors = JoinSet::new();
    let count = u32::try_from(duration.as_secs()).unwrap() * RATE;
    for number in 0..count {
        sleep_until(began + Duration::from_secs(1) * number / RATE).await;
        let site = site.clone();
        let visitor = site.visitors.fetch_add(1, Ordering::Relaxed);
        match visitor % 2 {
            0 => visitors.spawn(async move { polite::visit(&site, visitor / 2).await }),
            _ => visitors.spawn(async move { rude::visit(&site, visitor / 2).await }),
        };
        while let Some(visitor) = visitors.try_join_next() {
            visitor.unwrap();
        }
    }
    let rate = f64::from(count) / began.elapsed().as_secs_f64();
    while let Some(visitor) = visitors.join_next().await {
        visitor.unwrap();
    }
    (looking.await.unwrap(), rate)
}

/// Waits until descriptors and tasks are what they were when nobody had come yet; what the server takes then.
async fn settle(site: &Site, fresh: &Footprint) -> Footprint {
    let since = Instant::now();
    loop {
        let now = site.footprint().await;
        if now.sockets <= fresh.sockets && now.tasks <= fresh.tasks {
            return now;
        }
        assert!(since.elapsed() < PATIENCE, "somebody is still there: {now}; fresh: {fresh}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// By how many bytes a second the resident memory grew: the slope of the line that lies closest, by least squares, to all samples
/// but those of the first quarter, in which the number of visitors still rises.
fn slope(samples: &Samples) -> f64 {
    let steady = &samples[samples.len() / 4..];
    let count = steady.len() as f64;
    let resident = |footprint: &Footprint| footprint.resident as f64;
    let (mean_x, mean_y) = steady.iter().fold((0.0, 0.0), |(x, y), (second, footprint)| {
        (x + second / count, y + resident(footprint) / count)
    });
    let (covariance, variance) =
        steady.iter().fold((0.0, 0.0), |(covariance, variance), (second, footprint)| {
            let distance = second - mean_x;
            (covariance + distance * (resident(footprint) - mean_y), variance + distance * distance)
        });
    covariance / variance
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_many_visit_and_half_of_them_rudely_is_at_last_as_it_was() {
    let (warm_up, duration, times) = form();
    descriptors::allow(16_000);
    let directory = tempfile::tempdir().unwrap();
    let site = Site::open(directory.path(), times).await;
    let fresh = site.footprint().await;
    let flow = site.flow().await;
    visit(&site, warm_up).await;
    flow.stop().await;
    let base = settle(&site, &fresh).await;

    let flow = site.flow().await;
    let (samples, rate) = visit(&site, duration).await;
    flow.stop().await;
    let end = settle(&site, &fresh).await;

    let most = samples.iter().map(|(_, footprint)| footprint);
    let tally = site.tally();
    println!("fresh {fresh}\nbase {base}\nend {end}");
    println!(
        "most resident_kib={} sockets={} tasks={}",
        most.clone().map(|footprint| footprint.resident >> 10).max().unwrap_or(0),
        most.clone().map(|footprint| footprint.sockets).max().unwrap_or(0),
        most.map(|footprint| footprint.tasks).max().unwrap_or(0),
    );
    let slope = slope(&samples);
    let grown = end.resident.saturating_sub(base.resident);
    println!("soak_seconds={} connects_per_second={rate:.1} {tally}", duration.as_secs());
    println!(
        "memory_grown_kib={} slope_bytes_per_second={slope:.0} bound_kib={}",
        grown >> 10,
        MEMORY_BOUND >> 10
    );
    assert!(grown <= MEMORY_BOUND, "memory grew from {base} to {end}");
    assert!(
        slope * duration.as_secs_f64() <= MEMORY_BOUND as f64,
        "memory grows by {slope:.0} bytes a second while as many go as come"
    );
    assert!(end.files <= base.files + 8, "files stay open: from {base} to {end}");
    tally.check();
}

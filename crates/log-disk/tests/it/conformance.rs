//! The disk store passes the suite of all stores, in every mode.

use std::{sync::Arc, time::Duration};

use streamnest_log::{SystemClock, conformance};
use streamnest_log_disk::{DiskOptions, DiskStore, Durability};

use crate::simulated::Disk;

async fn on_files(options: DiskOptions) {
    let directory = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let make = async || {
        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(number.to_string());
        Arc::new(DiskStore::open(&path, Arc::new(SystemClock), options.clone()).unwrap())
    };
    conformance::check(make).await;
}

#[tokio::test]
async fn the_disk_store_keeps_every_promise() {
    on_files(DiskOptions::default()).await;
}

#[tokio::test]
async fn the_disk_store_keeps_every_promise_when_segments_are_small() {
    on_files(DiskOptions::default().with_segment_bytes(4_096).with_reserve_bytes(0)).await;
}

#[tokio::test]
async fn the_disk_store_keeps_every_promise_in_the_other_modes() {
    let options = DiskOptions::default().with_reserve_bytes(0);
    on_files(options.clone().with_durability(Durability::Memory)).await;
    on_files(options.with_durability(Durability::Interval(Duration::from_millis(5)))).await;
}

#[tokio::test]
async fn the_disk_store_keeps_every_promise_on_a_simulated_disk() {
    let make = async || {
        let options = DiskOptions::default().with_segment_bytes(16 << 10).with_reserve_bytes(4_096);
        Arc::new(DiskStore::open_on(Disk::new(), Arc::new(SystemClock), options).unwrap())
    };
    conformance::check(make).await;
}

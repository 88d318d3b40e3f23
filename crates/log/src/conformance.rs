//! The suite that every [`LogStore`] must pass.
//!
//! A store calls it from its own tests, with a function that makes an empty store:
//!
//! ```
//! use std::sync::Arc;
//! use streamnest_log::{MemoryStore, SystemClock, conformance};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check(async || Arc::new(MemoryStore::new(Arc::new(SystemClock)))).await;
//! # }
//! ```
//!
//! A failure names its case. Do not pause the time: a store may need threads of its own to make entries durable.

mod appending;
mod attributes;
mod durability;
mod lifetime;
mod probe;
mod reading;

use std::{sync::Arc, thread};

use streamnest_core::{BoxFuture, LogStore};

/// Holds that every store keeps what [`LogStore`] and [`StoredLog`](streamnest_core::StoredLog) promise: runs every
/// case of [`CASES`], each on a store of its own.
///
/// # Panics
/// If a promise is broken; the message says which, and standard error which case.
pub async fn check<S: LogStore>(make_store: impl AsyncFn() -> Arc<S>) {
    for case in CASES {
        case.check(make_store().await).await;
    }
}

/// One promise, and the steps that show whether a store keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise, as a sentence in snake case.
    pub name: &'static str,
    steps: fn(Arc<dyn LogStore>) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Holds that `store`, which is empty, keeps this promise.
    ///
    /// # Panics
    /// If it does not.
    pub async fn check(&self, store: Arc<dyn LogStore>) {
        let _named = Named(self.name);
        (self.steps)(store).await;
    }
}

/// Names the case to whoever reads of the failure.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the store breaks the promise `{}`", self.0);
        }
    }
}

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => {
        /// Every case of the suite.
        pub const CASES: &[Case] =
            &[$(Case { name: stringify!($case), steps: |store| Box::pin($module::$case(store)) },)*];
    };
}

cases! {
    lifetime::a_new_log_is_empty_and_open,
    lifetime::logs_do_not_share_entries,
    lifetime::reopening_keeps_content_and_epoch_and_raises_the_term,
    lifetime::a_deleted_log_comes_back_empty_in_another_epoch,
    lifetime::deleting_a_log_that_does_not_exist_does_nothing,
    lifetime::a_log_is_made_once_and_only_what_was_made_is_opened,
    lifetime::a_deleted_log_takes_nothing_more,
    lifetime::a_fenced_writer_changes_nothing,
    lifetime::only_the_newest_of_three_writers_appends,
    appending::entries_are_dense_and_come_back_as_they_were,
    appending::an_append_that_does_not_follow_the_last_entry_is_refused_whole,
    appending::one_of_two_appends_at_once_wins,
    appending::a_sealed_log_takes_nothing_more_and_is_still_read,
    appending::a_seal_that_does_not_follow_the_last_entry_is_refused,
    appending::the_head_knows_the_newest_status,
    appending::the_largest_payloads_come_back_whole,
    attributes::attributes_are_set_and_removed_with_their_append,
    attributes::a_refused_append_changes_no_attribute,
    attributes::a_sealed_log_still_changes_attributes,
    attributes::a_trim_keeps_attributes,
    attributes::many_and_large_attributes_come_back_whole,
    attributes::entries_may_be_any_bytes,
    attributes::logs_are_listed_in_order_and_page_by_page,
    durability::what_is_accepted_becomes_durable_in_order,
    durability::nothing_is_read_before_it_is_durable,
    durability::the_seal_is_durable_after_the_last_entry,
    reading::a_read_keeps_to_its_limits_and_returns_at_least_one,
    reading::a_passage_is_what_the_entries_say,
    reading::a_read_past_the_end_is_empty,
    reading::trimmed_entries_are_gone_and_said_to_be,
    reading::trimming_everything_keeps_counting,
    reading::a_trim_survives_a_reopening,
    reading::readers_and_an_appender_do_not_disturb_each_other,
}

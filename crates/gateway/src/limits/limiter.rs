//! One limit on how often something may happen, for each of many who do it.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::Hash,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use tokio::time::Instant;

/// How often at most those are looked for that need not be remembered any more.
const PRUNE_EVERY: Duration = Duration::from_secs(1);
/// Keys that are remembered without a look whether they need to be.
const FEW_KEYS: usize = 1_024;

/// A limit for each key, by the generic cell rate algorithm. Whoever was quiet for a window has all of it again.
///
/// It remembers a bounded number of keys. When that is reached, or there are twice as many as had to be remembered when it looked
/// last, those are forgotten that need not be; if the bound is reached all the same, newcomers share one place, so that a flood of addresses takes no memory, and lets nobody through either.
pub(crate) struct Limiter<K: Hash + Eq + Clone> {
    inner: RateLimiter<K, Places<K>, Ticks>,
    places: Places<K>,
    /// The time after which there is one again.
    each: Duration,
    burst: u32,
    max_keys: usize,
    pruned: Mutex<Instant>,
    /// How many keys there are when it looks next.
    prune_at: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// `count` within `window`, of which `burst` may come at once.
    pub(crate) fn new(count: u32, window: Duration, burst: u32, max_keys: usize) -> Self {
        // The options are validated: none of them is zero.
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let each = (window / count.max(1)).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        let places = Places { limit: max_keys, inner: Arc::default() };
        let inner = RateLimiter::new(quota.allow_burst(burst), places.clone(), Ticks(Instant::now()));
        let prune_at = AtomicUsize::new(max_keys.min(FEW_KEYS));
        let burst = burst.get();
        Self { inner, places, each, burst, max_keys, pruned: Mutex::new(Instant::now()), prune_at }
    }

    /// Takes one of what `key` has left.
    ///
    /// # Errors
    /// How long to wait until there is one, if there is none; then nothing is taken.
    pub(crate) fn take(&self, key: &K) -> Result<(), Duration> {
        self.make_room();
        let taken = self.inner.check_key(key);
        taken.map_err(|until| at_least_a_moment(until.wait_time_from(self.inner.clock().now())))
    }

    /// Whether `key` has as much left, or a whole burst if that is less. Nothing is taken.
    ///
    /// # Errors
    /// How long to wait until there is as much.
    pub(crate) fn check(&self, key: &K, weight: u32) -> Result<(), Duration> {
        let now: Duration = self.inner.clock().now().into();
        let used_until = self.places.until(key).map_or(now, Duration::from);
        let spare = self.each.saturating_mul(self.burst - weight.clamp(1, self.burst));
        match used_until.saturating_sub(now + spare) {
            Duration::ZERO => Ok(()),
            wait => Err(at_least_a_moment(wait)),
        }
    }

    /// Takes `weight` of what `key` has. What it does not have it owes, and there is nothing left until that is made good.
    pub(crate) fn charge(&self, key: &K, weight: u32) {
        self.make_room();
        let now = self.inner.clock().now();
        let more = self.each.saturating_mul(weight);
        let Ok(()) = self.places.measure_and_replace(key, |until| {
            let until = Duration::from(until.unwrap_or(now).max(now)).saturating_add(more);
            let nanos = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX);
            Ok::<_, Infallible>(((), nanos.into()))
        });
    }

    /// How many keys it remembers.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.inner.len()
    }

    /// Forgets some if there are as many as when it is to look.
    fn make_room(&self) {
        if self.inner.len() >= self.prune_at.load(Ordering::Relaxed) {
            self.prune();
        }
    }

    /// Forgets who need not be remembered any more, and gives their memory back.
    fn prune(&self) {
        {
            let mut pruned = self.pruned.lock().unwrap_or_else(PoisonError::into_inner);
            if pruned.elapsed() < PRUNE_EVERY {
                return;
            }
            *pruned = Instant::now();
        }
        self.inner.retain_recent();
        self.inner.shrink_to_fit();
        self.prune_at
            .store(self.inner.len().saturating_mul(2).max(FEW_KEYS).min(self.max_keys), Ordering::Relaxed);
    }
}

/// Where the keys stand, each by the time until which it has used up what it had.
struct Places<K> {
    limit: usize,
    inner: Arc<Mutex<Known<K>>>,
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { limit: self.limit, inner: self.inner.clone() }
    }
}

struct Known<K> {
    keys: HashMap<K, Nanos>,
    /// Of everybody who is not among them when they are as many as may be.
    others: Option<Nanos>,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), others: None }
    }
}

impl<K: Hash + Eq> Places<K> {
    /// Until when `key` has used up what it had, if it is remembered.
    fn until(&self, key: &K) -> Option<Nanos> {
        let known = self.lock();
        let others = || known.others.filter(|_| known.keys.len() >= self.limit);
        known.keys.get(key).copied().or_else(others)
    }
}

impl<K> Places<K> {
    fn lock(&self) -> MutexGuard<'_, Known<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone> StateStore for Places<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut known = self.lock();
        if let Some(until) = known.keys.get_mut(key) {
            let (outcome, new) = measure(Some(*until))?;
            *until = new;
            return Ok(outcome);
        }
        if known.keys.len() >= self.limit {
            let (outcome, new) = measure(known.others)?;
            known.others = Some(new);
            return Ok(outcome);
        }
        let (outcome, new) = measure(None)?;
        known.keys.insert(key.clone(), new);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Places<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.lock().keys.retain(|_, until| *until > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.lock().keys.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.lock().keys.len()
    }

    fn is_empty(&self) -> bool {
        self.lock().keys.is_empty()
    }
}

/// A wait of nothing would be none.
fn at_least_a_moment(wait: Duration) -> Duration {
    wait.max(Duration::from_millis(1))
}

/// The runtime's clock, from when the limiter was made.
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests;

//! Random numbers with a seed that can be given again.

use std::time::{SystemTime, UNIX_EPOCH};

use rand_pcg::{Pcg32, rand_core::Rng as _};

/// Random numbers. The seed is `STREAMNEST_SEED` if that is set; it is printed, and shown when a test fails.
#[derive(Clone, Debug)]
pub struct Random(Pcg32);

impl Random {
    /// Numbers of this run's seed, a stream of their own for each `stream`.
    pub fn new(stream: u64) -> Self {
        Self(Pcg32::new(seed(), stream))
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound.max(1)
    }
}

/// Whether the long forms of tests are asked for: `STREAMNEST_CHAOS=1`.
pub fn chaos() -> bool {
    std::env::var_os("STREAMNEST_CHAOS").is_some_and(|value| value == "1")
}

/// The seed of this run, which is printed.
pub fn seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| {
        let given = std::env::var("STREAMNEST_SEED").ok().and_then(|text| text.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(now);
        eprintln!("STREAMNEST_SEED={seed}");
        seed
    })
}

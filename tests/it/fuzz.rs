//! What strangers send, damaged at random: whatever it is there is an answer, and nothing is taken that another reader, written
//! from the specification alone, would not take.
//!
//! Each target checks some thousand cases, and a million with `STREAMNEST_CHAOS=1`. `STREAMNEST_SEED` gives the same ones again.

mod base64;
mod client_frames;
mod commands;
mod damage;
mod event_source;
mod jwt;
mod positions;
mod program;
mod requests;
mod sse;
mod stream_headers;

use std::{cell::Cell, time::Instant};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use streamnest_tests::random::{chaos, seed};

/// The cases of the long form.
const LONG: u32 = 1_000_000;
/// Both verdicts come in at least one case of so many: a target that always says the same would show nothing.
const ONE_IN: u32 = 1_000;

/// What a case came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Accepted,
    Refused,
}

impl Verdict {
    const fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// Shows `test` as many cases as are asked for, and prints what they came to. A case that fails is made as small as it can be.
fn fuzz<S: Strategy>(
    target: &str,
    short: u32,
    cases: &S,
    test: impl Fn(S::Value) -> Result<Verdict, TestCaseError>,
) {
    let count = if chaos() { LONG } else { short };
    let (seed, began, accepted) = (seed(), Instant::now(), Cell::new(0));
    let config = Config {
        cases: count,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let shown = TestRunner::new(config).run(cases, |case| {
        if test(case)? == Verdict::Accepted {
            accepted.set(accepted.get() + 1);
        }
        Ok(())
    });
    if let Err(failure) = shown {
        panic!("fuzz {target}, seed {seed}: {failure}");
    }
    let (accepted, seconds) = (accepted.get(), began.elapsed().as_secs_f64());
    let refused = count - accepted;
    println!(
        "fuzz {target}: cases={count} accepted={accepted} refused={refused} panics=0 seconds={seconds:.1} seed={seed}"
    );
    assert!(accepted.min(refused) > count / ONE_IN, "{target} is asked in one direction only");
}

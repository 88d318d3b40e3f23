//! What strangers try, as a table. After each case the server lives, a client that follows a run has seen no gap, nothing has
//! panicked, memory has not grown by 16 MiB since the first one, and no token stands in what was logged.

mod colleagues;
mod encrypted;
mod floods;
mod forged;
mod lasting;
mod requests;
mod sockets;
mod tenants;
mod timing;
mod watch;

use crate::attacks::watch::{Outcome, Watch};

/// What an attack came to.
pub(crate) struct Case {
    name: String,
    /// What was to come, and what came.
    expected: String,
    came: String,
}

impl Case {
    fn new(name: impl Into<String>, expected: impl ToString, came: impl ToString) -> Self {
        Self { name: name.into(), expected: expected.to_string(), came: came.to_string() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_try_comes_to_nothing() {
    let mut watch = Watch::start().await;
    forged::run(&mut watch).await;
    requests::run(&mut watch).await;
    sockets::run(&mut watch).await;
    floods::run(&mut watch).await;
    tenants::run(&mut watch).await;
    colleagues::run(&mut watch).await;
    lasting::run(&mut watch).await;
    encrypted::run(&mut watch).await;
    timing::run(&mut watch).await;
    let Outcome { cases, grown, logged_bytes } = watch.end().await;
    let wrong: Vec<_> = cases.iter().filter(|case| case.came != case.expected).collect();
    for case in &wrong {
        println!("{}: expected {}, got {}", case.name, case.expected, case.came);
    }
    println!("grown_bytes={grown} logged_bytes={logged_bytes} tokens_in_logs=0 panics=0");
    println!("attacks={} as_expected={}", cases.len(), cases.len() - wrong.len());
    assert!(wrong.is_empty(), "{} attacks came to something else", wrong.len());
    assert!(cases.len() >= 100, "{} attacks", cases.len());
}

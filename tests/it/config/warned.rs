//! What a program says at its start of how strangers reach it.

use std::{fs, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

/// What a program with these flags has logged, from its start to its end.
async fn logged(flags: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_steps-server"))
        .args(["--memory", "--log", "warn"])
        .args(flags)
        .env_remove("STREAMNEST_CONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap();
    assert!(line.is_some_and(|line| line.starts_with("listening on ")), "{flags:?}");
    kill_process(pid, Signal::TERM).unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{flags:?}");
    String::from_utf8(ended.stderr).unwrap()
}

#[tokio::test]
async fn a_program_for_strangers_says_in_its_log_what_they_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, config) = (folder.path().join("secret"), folder.path().join("streamnest.toml"));
    fs::write(&secret, "a secret for these tests, of more than 32 bytes").unwrap();
    fs::write(
        &config,
        "[gateway]\nmax_connections_per_address = 64\ntrusted_proxies = ['10.0.0.0/8']\n[gateway.rate_limit]\nmax_connections = 600",
    )
    .unwrap();
    let (secret, config) = (secret.to_str().unwrap(), config.to_str().unwrap());
    let everywhere = ["--listen", "0.0.0.0:0"];
    let (open, clear, unlimited) = (
        "it asks nobody who they are: everybody who reaches it may start, read, answer, cancel and delete everything",
        "tokens cross the network in clear",
        "what one of them may take is not limited",
    );
    for (flags, told) in [
        (&["--insecure-no-auth"][..], [true, false, true]),
        (&["--insecure-no-auth", "--config", config], [true, false, false]),
        (&["--jwt-secret-file", secret], [false, true, true]),
        (&["--jwt-secret-file", secret, "--config", config], [false, false, false]),
    ] {
        let log = logged(&[&everywhere, flags].concat()).await;
        assert_eq!([open, clear, unlimited].map(|text| log.contains(text)), told, "{flags:?}: {log}");
        let lines = told.iter().filter(|told| **told).count();
        assert_eq!(log.lines().count(), lines, "{flags:?}: {log}");
    }
    assert_eq!(logged(&["--listen", "127.0.0.1:0"]).await, "");
}

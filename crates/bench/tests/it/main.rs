//! The tool as its user runs it: real sockets, against the floor, and against a server that gets it wrong.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be"
)]

mod careless;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

fn bench(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_streamnest-bench")).args(arguments.split(' ')).output().unwrap()
}

/// The report of a run that must have been whole.
fn report(arguments: &str) -> serde_json::Value {
    let output = bench(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments}: {text}{errors}");
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    for nothing in ["lost", "doubled", "reordered", "foreign", "gaps", "failed"] {
        assert_eq!(report[nothing], 0, "{nothing}: {report}");
    }
    report
}

/// Whether a figure is there, and above nothing.
fn positive(report: &serde_json::Value, name: &str) -> f64 {
    let value = report[name].as_f64().unwrap_or_default();
    assert!(value > 0.0, "{name}: {report}");
    value
}

#[test]
fn fan_out_delivers_every_token_to_twenty_connections() {
    let report =
        report("fan-out --floor --connections 20 --rate 100 --buffer-size 1 --warm-up 0.2 --seconds 0.5");
    let delivered = positive(&report, "delivered");
    assert!((600.0..=1400.0).contains(&delivered), "about 20 × 100 × 0.5: {report}");
    assert_eq!(report["frames"], report["delivered"], "a frame per token: {report}");
    for name in ["rate", "serverCpuUsPerToken", "clientCpuUsPerToken", "rssBytes"] {
        positive(&report, name);
    }
    assert!(report["latencyMs"]["p50"].as_f64().unwrap() <= report["latencyMs"]["p999"].as_f64().unwrap());
}

#[test]
fn counts_tokens_and_not_frames_where_many_are_joined() {
    let report = report("fan-out --floor --connections 5 --rate 2000 --warm-up 0.2 --seconds 0.5");
    let (delivered, frames) = (positive(&report, "delivered"), positive(&report, "frames"));
    assert!(delivered / frames > 5.0, "ten tokens in most frames: {report}");
}

#[test]
fn chat_gives_each_connection_its_own_execution() {
    for transport in ["ws", "sse"] {
        let report = report(&format!(
            "chat --floor --transport {transport} --connections 20 --rate 50 --warm-up 0.1 --seconds 0.4"
        ));
        assert_eq!(report["executions"], 20);
        positive(&report, "delivered");
    }
}

#[test]
fn idle_weighs_connections() {
    let report = report("idle --floor --connections 200 --warm-up 0.1 --seconds 0.1");
    assert_eq!(report["connections"], 200);
    assert!(report["rssBytesPerConnection"].as_f64().unwrap() < 16_384.0, "{report}");
}

#[test]
fn stalled_connections_get_the_rest_when_they_read_at_last() {
    let report = report(
        "stalled --floor --connections 3 --stalled 5 --tokens 4000 --token-bytes 1000 --rate 8000 --buffer-size 1",
    );
    assert_eq!(report["delivered"], 3 * 4000);
    assert_eq!(report["stalled"]["connections"], 5);
    assert_eq!(report["stalled"]["lost"], 0, "{report}");
}

#[test]
fn resume_reads_every_entry_once_across_drops() {
    let report = report(
        "resume --floor --connections 10 --tokens 2000 --token-bytes 500 --rate 0 --buffer-size 1 --drops 3",
    );
    assert_eq!(report["delivered"], 10 * 2000);
    assert_eq!(report["resumed"]["delivered"], 10 * 2000);
    positive(&report["resumed"], "reconnects");
}

#[test]
fn loss_doubling_order_and_strangers_are_seen_and_fail_the_run() {
    let url = careless::serve(&[(0, 0), (0, 1), (0, 3), (0, 2), (0, 2), (7, 3), (0, 5)]);
    let output = bench(&format!("fan-out --url {url} --connections 1 --rate 0 --tokens 7"));
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for (fault, count) in [("lost", 2), ("doubled", 1), ("reordered", 1), ("foreign", 1), ("delivered", 7)] {
        assert_eq!(report[fault], count, "{fault}: {report}");
    }
    assert_eq!(report["ok"], false);
}

#[test]
fn a_subscriber_that_the_server_drops_fails_the_run() {
    // A floor that keeps 64 KiB of a run of 2 MB has nothing to give to who comes afterwards, and hangs up.
    let mut floor = Command::new(env!("CARGO_BIN_EXE_streamnest-bench"))
        .args(["floor", "--history", "65536"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(floor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().trim_start_matches("listening on ");
    let output =
        bench(&format!("resume --url {url} --connections 2 --tokens 10000 --rate 0 --buffer-size 1"));
    floor.kill().unwrap();
    floor.wait().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("the server closed the connection"), "{errors}");
}

#[test]
fn says_what_is_wrong_with_a_command_line() {
    for (arguments, says) in [
        ("chat --connections 1", "--server, --url and --floor"),
        ("idle --floor --transport sse --connections 1", "--subscribe"),
        ("fan-out --floor --rate 0 --connections 1", "--tokens"),
        ("chat --floor --transport sse --flush-window-ms 0", "no flush window"),
        ("chat --url ftp://x --connections 1", "is no address"),
        ("chat --server /nonexistent --connections 1", "cannot start the server"),
    ] {
        let output = bench(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(says), "{arguments}: {errors}");
    }
}

//! A server in a process of its own, that can be asked to stop, or killed.

use std::{fs::File, net::SocketAddr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// By this the allocator of our programs keeps nothing for later.
const GIVES_BACK: [(&str, &str); 1] = [("MIMALLOC_PURGE_DELAY", "0")];

/// A running program with the standard flags. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl Program {
    /// Starts the program at `path` on a free port, with its logs in `directory`, and waits until it listens.
    pub async fn start(path: &str, directory: &Path) -> Self {
        Self::start_with(path, directory, &[]).await
    }

    /// As [`start`](Self::start), with more flags.
    pub async fn start_with(path: &str, directory: &Path, flags: &[&str]) -> Self {
        Self::run(Command::new(path), directory, "error", flags).await
    }

    /// As [`start_with`](Self::start_with), where everything that can be logged goes to `log`. Memory that the program gives back
    /// leaves its process at once, so that what the process has is what it holds.
    pub async fn start_logging(path: &str, directory: &Path, flags: &[&str], log: File) -> Self {
        let mut command = Command::new(path);
        command.stderr(log).envs(GIVES_BACK);
        Self::run(command, directory, "trace", flags).await
    }

    /// As [`start_logging`](Self::start_logging), where the program may have so many descriptors open at once.
    pub async fn start_narrow(
        path: &str,
        directory: &Path,
        flags: &[&str],
        log: File,
        descriptors: u32,
    ) -> Self {
        let mut shell = Command::new("sh");
        shell.stderr(log).envs(GIVES_BACK);
        shell
            .args(["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh"])
            .arg(descriptors.to_string())
            .arg(path);
        Self::run(shell, directory, "trace", flags).await
    }

    async fn run(mut command: Command, directory: &Path, log: &str, flags: &[&str]) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--log", log, "--data-dir"])
            .arg(directory)
            .args(flags)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("a server says where it listens");
        let address = line.rsplit_once("://").and_then(|(_, address)| address.parse().ok());
        Self { address: address.unwrap_or_else(|| panic!("{line:?}")), child }
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, as `kill` does.
    pub fn terminate(&self) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("a process has a number");
        kill_process(pid, Signal::TERM).expect("the process is ours");
    }

    /// Waits until it has ended by itself, and well.
    pub async fn ended(mut self) {
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "the server ended with {status}");
    }
}

//! Runs a program, shows what it says, and keeps it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use crate::workspace::Workspace;

/// A program about to run. Its standard input is empty.
pub(crate) struct Run {
    command: Command,
    folder: PathBuf,
    show: Show,
}

/// What of a program's output reaches the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Everything,
    OnlyStderr,
    Nothing,
}

/// What a program said.
pub(crate) struct Output {
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard output, then its standard error.
    pub(crate) both: String,
    /// Whether it ended with code 0.
    pub(crate) success: bool,
}

impl Run {
    /// `program`, to be run in the root of the workspace.
    pub(crate) fn new(workspace: &Workspace, program: &str) -> Self {
        let mut command = Command::new(program);
        command
            .current_dir(workspace.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, folder: workspace.root().into(), show: Show::Everything }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo(workspace: &Workspace) -> Self {
        let mut run = Self::new(workspace, &std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
        // Summaries are read back, so they must hold no escape sequences.
        run.command.env("CARGO_TERM_COLOR", "never");
        if std::env::var_os("CI").is_some() && std::env::var_os("CARGO_INCREMENTAL").is_none() {
            // A fresh clone compiles everything once; what would make a second time faster only costs time and disk.
            run.command.env("CARGO_INCREMENTAL", "0");
        }
        run
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in a folder of the workspace instead of its root.
    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.folder = self.folder.join(folder);
        self.command.current_dir(&self.folder);
        self
    }

    /// Shows nothing of it, unless it fails.
    pub(crate) fn silent(mut self) -> Self {
        self.show = Show::Nothing;
        self
    }

    /// Shows its standard error only: the standard output is for a machine.
    pub(crate) fn only_stderr(mut self) -> Self {
        self.show = Show::OnlyStderr;
        self
    }

    /// The line a person would type.
    pub(crate) fn line(&self) -> String {
        let program = self.command.get_program().to_string_lossy().into_owned();
        let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
        let arguments = self.command.get_args().map(|a| a.to_string_lossy().into_owned());
        std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
    }

    /// Starts it, and leaves it running. Its standard error is ours.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(mut self) -> Result<Running, String> {
        let line = self.line();
        let child = self.command.stderr(Stdio::inherit()).spawn();
        let mut child = child.map_err(|error| format!("cannot start `{line}`: {error}"))?;
        let said = child.stdout.take().ok_or_else(|| format!("`{line}` has no standard output"))?;
        Ok(Running { child, line, said: BufReader::new(said) })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// If it cannot be started or ends with another code than 0.
    pub(crate) fn run(self) -> Result<Output, String> {
        let (line, show) = (self.line(), self.show);
        let output = self.run_to_end()?;
        if output.success {
            Ok(output)
        } else if show == Show::Nothing {
            Err(format!("{}\n`{line}` failed", output.both.trim_end()))
        } else {
            Err(format!("`{line}` failed"))
        }
    }

    /// Runs it to its end, however that is.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn run_to_end(mut self) -> Result<Output, String> {
        let line = self.line();
        let mut child = self.command.spawn().map_err(|error| format!("cannot start `{line}`: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let show = self.show;
        // Both at once, or a full pipe of the one would stop the program while the other is read.
        let (stdout, stderr) = thread::scope(|scope| {
            let copy = scope.spawn(move || copy(stderr, show != Show::Nothing, &mut std::io::stderr()));
            let stdout = self::copy(stdout, show == Show::Everything, &mut std::io::stdout());
            (stdout, copy.join().unwrap_or_default())
        });
        let status = child.wait().map_err(|error| format!("cannot wait for `{line}`: {error}"))?;
        let both = format!("{stdout}{stderr}");
        Ok(Output { stdout, both, success: status.success() })
    }
}

/// A program that runs on, and ends with this.
pub(crate) struct Running {
    child: Child,
    line: String,
    /// Kept open to the end, or the program could not print any more.
    said: BufReader<ChildStdout>,
}

impl Running {
    /// Shows its standard output until a line of it begins with `words`; returns the rest of that line.
    ///
    /// # Errors
    /// If it ends before.
    pub(crate) fn wait_for(&mut self, words: &str) -> Result<String, String> {
        let mut line = String::new();
        while self.said.read_line(&mut line).is_ok_and(|length| length > 0) {
            print!("{line}");
            if let Some(rest) = line.strip_prefix(words) {
                return Ok(rest.trim().to_owned());
            }
            line.clear();
        }
        Err(format!("`{}` ended without saying `{words}`", self.line))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// Reads `from` to its end line by line; shows each line as it comes.
fn copy(from: Option<impl Read>, show: bool, to: &mut dyn Write) -> String {
    let mut kept = String::new();
    let Some(from) = from else { return kept };
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if show {
            // A terminal that went away is no reason to stop the program half way.
            let _ = to.write_all(&line).and_then(|()| to.flush());
        }
        kept.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    kept
}

/// Where a program is, if it is anywhere on the path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

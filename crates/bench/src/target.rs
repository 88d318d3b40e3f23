//! The server that is measured: one that runs already, or a child of ours.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddrV4,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    arguments::{Load, Subject},
    connection::Transport,
    error::Error,
    floor,
    process::{self, Memory},
    system,
};

/// A server and, if its accounting can be read, its process.
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    pid: Option<u32>,
    /// Ends with this value.
    child: Option<Child>,
    /// Where this thread ran before the child was started.
    cores: Vec<usize>,
}

/// The variable from which a Streamnest server takes what to log.
const LOG_FILTER: &str = "STREAMNEST_LOG";

impl Target {
    /// Starts or attaches to the server that the command line names.
    pub(crate) fn of(load: &Load, history: u64) -> Result<Self, Error> {
        match load.subject()? {
            Subject::Url(url) => {
                Ok(Self { address: parse(url)?, pid: load.server_pid, child: None, cores: Vec::new() })
            }
            Subject::Server(path) => {
                let mut arguments = vec![OsString::from("--listen"), OsString::from("127.0.0.1:0")];
                // What is measured is the server and not the disk, unless somebody asks for the disk.
                if !load.server_arguments.iter().any(|argument| argument.starts_with("--data-dir")) {
                    arguments.push("--memory".into());
                }
                arguments.extend(load.server_arguments.iter().map(OsString::from));
                Self::spawn(path, &arguments)
            }
            Subject::Floor => {
                let mut arguments = vec!["--history".into(), history.to_string().into()];
                arguments.extend(["--tick-us".into(), load.tick_us.to_string().into()]);
                if load.transport == Transport::Sse {
                    arguments.push("--sse".into());
                }
                Self::spawn(&floor::build()?, &arguments)
            }
        }
    }

    /// Starts a server and waits until it says where it listens.
    ///
    /// This thread keeps one core for itself and leaves the others to the server, floor or not. Where they share their cores,
    /// each takes the other's, and a server of several threads, which is wherever the generator wakes, pays for that and a
    /// floor of one does not.
    pub(crate) fn spawn(path: &Path, arguments: &[OsString]) -> Result<Self, Error> {
        let mut command = Command::new(path);
        if env::var_os(LOG_FILTER).is_none() {
            // A line per execution is of no use among thousands of them.
            command.env(LOG_FILTER, "warn");
        }
        let cores = system::cores().map_err(Error::system("reading which cores there are"))?;
        let on = |cores: &[usize]| system::run_on(cores).map_err(Error::system("choosing cores"));
        if let [_, others @ ..] = cores.as_slice()
            && !others.is_empty()
        {
            on(others)?;
        }
        let spawned = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        on(cores.get(..1).unwrap_or_default())?;
        let mut child = spawned.map_err(|source| Error::Spawn { path: path.to_owned(), source })?;
        let stdout = child.stdout.take();
        let mut target = Self {
            address: SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0),
            pid: Some(child.id()),
            child: Some(child),
            cores,
        };
        let mut lines =
            BufReader::new(stdout.ok_or(Error::Usage("the child has no standard output"))?).lines();
        let mut first = None;
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, url)) = line.split_once("listening on ") {
                target.address = parse(url)?;
                // Reads on, so that the server never writes into a closed pipe; ends when the server does.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                return Ok(target);
            }
            first.get_or_insert(line);
        }
        Err(Error::NotListening { path: path.to_owned(), line: first.unwrap_or_default() })
    }

    /// The CPU time of the server so far, in nanoseconds; `None` for one whose process is not known.
    pub(crate) fn cpu_ns(&self) -> Result<Option<u64>, Error> {
        let cpu = self.pid.map(process::cpu).transpose()?;
        Ok(cpu.map(|cpu| u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The memory of the server; `None` for one whose process is not known.
    pub(crate) fn memory(&self) -> Result<Option<Memory>, Error> {
        self.pid.map(process::memory).transpose()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself, and nobody is left to be told.
            drop(child.kill());
            drop(child.wait());
            // They were this thread's before, so it may have them again.
            drop(system::run_on(&self.cores));
        }
    }
}

pub(crate) fn parse(url: &str) -> Result<SocketAddrV4, Error> {
    let authority = url.trim().strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    authority
        .and_then(|authority| authority.parse().ok())
        .ok_or_else(|| Error::Address { address: url.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_address_that_a_server_prints() {
        assert_eq!(parse("http://127.0.0.1:8080").unwrap(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(parse("http://127.0.0.1:8080/\n").unwrap(), "127.0.0.1:8080".parse().unwrap());
        for wrong in ["127.0.0.1:8080", "http://localhost", "https://127.0.0.1:1"] {
            assert!(matches!(parse(wrong), Err(Error::Address { .. })), "{wrong}");
        }
    }

    #[test]
    fn says_what_a_program_that_is_no_server_printed() {
        let error = Target::spawn(Path::new("/bin/echo"), &["hello".into()]).err().unwrap();
        assert!(matches!(&error, Error::NotListening { line, .. } if line == "hello"), "{error}");
    }
}

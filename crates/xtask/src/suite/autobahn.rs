//! The Autobahn suite: what RFC 6455 asks of a WebSocket, asked of a real server.
//!
//! The suite's client talks to `/echo`, which is `/ws` in all but what messages mean: on a connection that the server accepted
//! itself, and on one of an axum program that it is mounted into.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Failed, Report, counts::Counts, programs};
use crate::{
    command::{Run, which},
    workspace::Workspace,
};

/// Where the suite's versions are pinned.
const FOLDER: &str = "tests/autobahn";
/// Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing, and fragments that the suite chooses. Left out are 9,
/// messages far over our limit, and 12 and 13, an extension that we do not offer.
const CASES: [&str; 8] = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
/// How many cases that are, in version 0.8.2. Fewer would mean that they were not all asked.
const CASES_OF_AGENT: usize = 247;
/// What is well enough for the suite, though it knows something stricter, and why it is so. Whatever else is not strict fails.
const NOT_STRICT: [(&str, &str); 2] = [
    ("6.4.3", "UTF-8 is checked when its frame is whole, not while that trickles in"),
    ("6.4.4", "UTF-8 is checked when its frame is whole, not while that trickles in"),
];
/// The variable by which a Python 2.7 is found that is nowhere else.
const PYTHON: &str = "STREAMNEST_PYTHON27";

/// Runs the suite against both kinds of socket.
pub(super) fn run(workspace: &Workspace) -> Result<Report, Failed> {
    let python = python(workspace)?;
    let packages = packages(workspace, &python)?;
    let program = build(workspace)?.display().to_string();
    let folder = workspace.root().join("target/autobahn");
    let reports = folder.join("reports");
    // What an earlier run has left is not for this one to be judged by.
    let _ = fs::remove_dir_all(&reports);
    let server =
        Run::new(workspace, &program).args(["--listen", "127.0.0.1:0", "--memory", "--log", "error"]);
    let mut server = server.start()?;
    let [mounted, served] =
        ["mounted on http://", "listening on http://"].map(|words| server.wait_for(words));
    let specification = json!({
        "outdir": reports,
        "servers": [
            {"agent": "served", "url": format!("ws://{}/echo", served?)},
            {"agent": "mounted", "url": format!("ws://{}/mounted/echo", mounted?)},
        ],
        "cases": CASES,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let path = folder.join("fuzzingclient.json");
    fs::write(&path, specification.to_string())
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    let script = workspace.root().join(FOLDER).join("run.py");
    let arguments = [&script, &packages].map(|path| path.display().to_string());
    Run::new(workspace, &python.display().to_string())
        .args(["-W", "ignore"])
        .args(arguments.iter().map(String::as_str))
        .args(["--mode", "fuzzingclient", "--spec", &path.display().to_string()])
        .silent()
        .run()?;
    drop(server);
    let index = reports.join("index.json");
    let text = fs::read_to_string(&index)
        .map_err(|error| format!("the suite left no {}: {error}", index.display()))?;
    let verdicts = Verdicts::read(&text)?;
    println!("{verdicts}");
    let failed = verdicts.failed.len() as u64;
    let tests = Counts { passed: verdicts.cases as u64 - failed, failed, skipped: 0 };
    let report = format!("; see {}", reports.join("index.html").display());
    Report::counted(Some(tests), true)
        .map(|counted| Report {
            note: verdicts.to_string().lines().next().unwrap_or_default().into(),
            ..counted
        })
        .map_err(|failed| Failed { why: failed.why + &report, ..failed })
}

/// A Python 2.7: where the variable says, on the path, or one of pyenv's.
fn python(workspace: &Workspace) -> Result<PathBuf, String> {
    let named = std::env::var_os(PYTHON).map(PathBuf::from);
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let versions = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let versions = versions.into_iter().flatten().filter_map(Result::ok).map(|version| version.path());
    let of_pyenv = versions.map(|version| version.join("bin/python2.7"));
    let candidates = named.into_iter().chain(which("python2.7")).chain(of_pyenv);
    // What is on the path may be a shim of pyenv's that leads nowhere.
    let mut working = candidates.filter(|python| {
        let run = Run::new(workspace, &python.display().to_string());
        let line = "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))";
        run.args(["-W", "ignore", "-c", line]).silent().run().is_ok()
    });
    working.next().ok_or_else(|| {
        format!(
            "Python 2.7 with pip is missing, which the Autobahn suite was written for; install with: \
             curl -fsSL https://pyenv.run | bash && ~/.pyenv/bin/pyenv install 2.7.18, or say by {PYTHON} where it is"
        )
    })
}

/// The folder with the suite and what it needs, each in its one version; installed if it is not there.
fn packages(workspace: &Workspace, python: &Path) -> Result<PathBuf, String> {
    let requirements = workspace.root().join(FOLDER).join("requirements.txt");
    let folder = workspace.root().join("target/autobahn/packages");
    let (installed, wanted) = (folder.join("requirements.txt"), fs::read(&requirements));
    if wanted.as_ref().is_ok_and(|wanted| fs::read(&installed).is_ok_and(|installed| installed == *wanted)) {
        return Ok(folder);
    }
    println!("installing {FOLDER}/requirements.txt");
    // Half an installation is none.
    let _ = fs::remove_dir_all(&folder);
    let pip = ["-W", "ignore", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let [from, to] = [&requirements, &folder].map(|path| path.display().to_string());
    Run::new(workspace, &python.display().to_string())
        .args(pip)
        .args(["--target", &to, "--requirement", &from])
        .silent()
        .run()?;
    fs::copy(&requirements, &installed).map_err(|error| format!("{to} cannot be written: {error}"))?;
    Ok(folder)
}

/// The server. It is built as the tests are, so that nothing is built twice.
fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    programs::build(Run::cargo(workspace).args(["test", "--no-run", "--locked", "--workspace"]))?
        .program("echo-server")
}

/// What the suite found.
struct Verdicts {
    cases: usize,
    /// Each with its agent.
    failed: Vec<String>,
    not_strict: BTreeMap<&'static str, &'static str>,
    counts: BTreeMap<&'static str, usize>,
    informational: Vec<String>,
}

impl Verdicts {
    /// Reads the index of its reports: by agent and case what became of the case, and of its connection's end.
    fn read(text: &str) -> Result<Self, String> {
        let index: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_str(text).map_err(|error| format!("the index is not as expected: {error}"))?;
        let mut verdicts = Self {
            cases: 0,
            failed: Vec::new(),
            not_strict: BTreeMap::new(),
            counts: BTreeMap::new(),
            informational: Vec::new(),
        };
        for (agent, cases) in &index {
            if cases.len() != CASES_OF_AGENT {
                return Err(format!(
                    "{agent} was asked {} cases, but there are {CASES_OF_AGENT}",
                    cases.len()
                ));
            }
            verdicts.cases += cases.len();
            cases.iter().for_each(|(case, verdict)| verdicts.add(agent, case, verdict));
        }
        match index.len() {
            2 => Ok(verdicts),
            agents => Err(format!("{agents} agents were asked, and not both")),
        }
    }

    fn add(&mut self, agent: &str, case: &str, verdict: &Value) {
        let word = |field| verdict.get(field).and_then(Value::as_str).unwrap_or("nothing");
        let (behavior, end) = (word("behavior"), word("behaviorClose"));
        let known = NOT_STRICT.iter().find(|(known, _)| *known == case);
        let counted = match (behavior, end, known) {
            ("OK", "OK", _) => "ok",
            ("NON-STRICT", "OK", Some((case, why))) => {
                self.not_strict.insert(case, why);
                "non_strict"
            }
            ("INFORMATIONAL", "OK" | "INFORMATIONAL", _) => {
                self.informational.push(format!("{agent} {case}"));
                "informational"
            }
            _ => {
                self.failed.push(format!("{agent} {case}: {behavior}, its end {end}"));
                return;
            }
        };
        *self.counts.entry(counted).or_default() += 1;
    }
}

impl std::fmt::Display for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |name| self.counts.get(name).copied().unwrap_or_default();
        write!(
            f,
            "autobahn cases={} failed={} ok={} non_strict={} informational={}",
            self.cases,
            self.failed.len(),
            count("ok"),
            count("non_strict"),
            count("informational")
        )?;
        self.failed.iter().try_for_each(|failed| write!(f, "\nfailed: {failed}"))?;
        self.not_strict.iter().try_for_each(|(case, why)| write!(f, "\nnot strict: {case}: {why}"))?;
        write!(f, "\ninformational: {}", self.informational.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index of both agents, in which one case of the first came to `behavior` and `end`.
    fn index(case: &str, behavior: &str, end: &str) -> String {
        let good = json!({"behavior": "OK", "behaviorClose": "OK"});
        let cases = |others: usize| (0..others).map(|number| (format!("1.1.{number}"), good.clone()));
        let mut first: BTreeMap<String, Value> = cases(CASES_OF_AGENT - 1).collect();
        first.insert(case.into(), json!({"behavior": behavior, "behaviorClose": end}));
        let second: BTreeMap<String, Value> = cases(CASES_OF_AGENT).collect();
        json!({"a": first, "b": second}).to_string()
    }

    #[test]
    fn only_what_the_suite_takes_and_we_can_explain_passes() {
        let failed = |case, behavior, end| Verdicts::read(&index(case, behavior, end)).unwrap().failed.len();
        for (case, behavior, end) in
            [("2.1", "OK", "OK"), ("6.4.3", "NON-STRICT", "OK"), ("7.1.6", "INFORMATIONAL", "INFORMATIONAL")]
        {
            assert_eq!(failed(case, behavior, end), 0, "{case}");
        }
        for (case, behavior, end) in [
            ("2.1", "FAILED", "OK"),
            ("2.1", "OK", "FAILED"),
            ("2.1", "OK", "UNCLEAN"),
            ("2.1", "OK", "WRONG CODE"),
            ("2.1", "NON-STRICT", "OK"),
            ("2.1", "UNIMPLEMENTED", "OK"),
            ("2.1", "", ""),
        ] {
            assert_eq!(failed(case, behavior, end), 1, "{behavior} {end}");
        }
    }

    #[test]
    fn every_case_has_to_be_asked_of_both() {
        assert!(Verdicts::read("{}").is_err());
        let whole = index("2.1", "OK", "OK");
        assert!(Verdicts::read(&whole).is_ok());
        assert!(Verdicts::read(&whole.replacen("\"1.1.7\"", "\"1.1.8\"", 1)).is_err());
    }

    #[test]
    fn the_figures_stand_in_one_line() {
        let verdicts = Verdicts::read(&index("6.4.3", "NON-STRICT", "OK")).unwrap().to_string();
        assert_eq!(
            verdicts.lines().next(),
            Some("autobahn cases=494 failed=0 ok=493 non_strict=1 informational=0")
        );
    }
}

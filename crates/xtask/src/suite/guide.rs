//! The guide as a stranger follows it: its first page word for word in an empty folder, and what the others show in that
//! program.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Failed, Report,
    debian::{self, Program},
    programs,
};
use crate::{command::Run, workspace::Workspace};

/// The page.
const PAGE: &str = "docs/guide/first-workflow.md";
/// The others, whose snippets are programs.
const OTHERS: [&str; 6] =
    ["attributes", "state-and-routes", "asking-people", "modules", "services", "testing"];
/// The program that the page makes.
const NAME: &str = "haiku";
/// How it says that it is there.
const LISTENING: &str = "listening on ";
/// Where the page expects it, which another program may have here.
const ADDRESS: &str = "http://127.0.0.1:8080";
/// How long a stranger may take until something streams.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the page asks for beside Rust.
const CURL: Program = Program { names: &["curl"], packages: &["curl"] };

/// Makes the program, runs it, and follows a run with the page's own commands; then checks what the other pages show.
pub(super) fn run(workspace: &Workspace) -> Result<Report, Failed> {
    debian::find_or_install(workspace, &CURL)?;
    let began = Instant::now();
    let page = Page::read(workspace, PAGE)?;
    let folder = write(workspace, &page)?;
    let line = page.block("sh", "cargo run")?;
    let arguments = line.split_whitespace().skip(1).chain(["--", "--listen", "127.0.0.1:0"]);
    let mut server = stranger(workspace, &folder).args(arguments).start()?;
    let address = server.wait_for(LISTENING)?;
    let took = began.elapsed();
    let events = follow(workspace, &page, &address)?;
    drop(server);
    if took > PATIENCE {
        return Err(format!("{PAGE}: it listens after {took:.0?}, later than {PATIENCE:?}").into());
    }
    let programs = check_others(workspace, &page, &folder)?;
    Report::checked(format!(
        "{PAGE} as it stands: listening after {took:.0?}, a run of {events} events followed and resumed; {programs} snippets \
         of the other pages"
    ))
}

/// Builds the program as the page has it; returns where it is.
pub(super) fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = write(workspace, &Page::read(workspace, PAGE)?)?;
    programs::build(stranger(workspace, &folder).args(["build"]))?.program(NAME)
}

/// Cargo in the program's folder. What it builds is kept with the rest, so that a second time is quick.
fn stranger(workspace: &Workspace, folder: &Path) -> Run {
    let target = workspace.root().join("target/first-workflow");
    Run::cargo(workspace).inside(folder).env("CARGO_TARGET_DIR", target)
}

/// Types what the page says into a new folder beside the checkout; returns the program's.
fn write(workspace: &Workspace, page: &Page) -> Result<PathBuf, String> {
    // Outside the workspace, as a stranger's is; one for each checkout, and always the same, which cargo remembers it by.
    let mut checkout = DefaultHasher::new();
    workspace.root().hash(&mut checkout);
    let folder = std::env::temp_dir().join(format!("streamnest-guide-{:x}", checkout.finish()));
    let told = |error: std::io::Error| format!("cannot write {}: {error}", folder.display());
    // What an earlier run has left is not there for a stranger.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(told)?;
    std::os::unix::fs::symlink(workspace.root(), folder.join("streamnest")).map_err(told)?;
    bash(workspace, &folder, &page.block("sh", "cargo new")?)?;
    let program = folder.join(NAME);
    fs::write(program.join("Cargo.toml"), page.block("toml", "[package]")?).map_err(told)?;
    fs::write(program.join("src/main.rs"), page.block("rust", "fn main")?).map_err(told)?;
    Ok(program)
}

/// Starts a run and follows it, and once more from its third event; returns how many there are.
fn follow(workspace: &Workspace, page: &Page, address: &str) -> Result<usize, String> {
    let commands = page.block("sh", "curl")?;
    if !commands.contains(ADDRESS) {
        return Err(format!("{PAGE}: the commands with `curl` do not name {ADDRESS}"));
    }
    let commands = commands.replace(ADDRESS, address);
    let said = bash(workspace, &std::env::temp_dir(), &commands)?;
    let told = |what: &str| said.lines().any(|line| line.starts_with("data: ") && line.contains(what));
    for what in [r#""type":"token""#, r#""type":"progress""#, r#""status":"completed""#] {
        if !told(what) {
            return Err(format!("{PAGE}: following the run told no {what}; it said:\n{said}"));
        }
    }
    let ids = ids(&said);
    let (Some(third), Some(follow)) = (ids.get(2), commands.lines().find(|line| line.starts_with("curl -N")))
    else {
        return Err(format!("{PAGE}: no `curl -N` followed a run of three events"));
    };
    let again = format!("{follow} -H 'Last-Event-ID: {third}'");
    let said = bash(workspace, &std::env::temp_dir(), &again)?;
    if ids.get(3..) != Some(self::ids(&said).as_slice()) {
        return Err(format!("{PAGE}: `{again}` does not go on after it; it said:\n{said}"));
    }
    Ok(ids.len())
}

/// The ids of an event stream.
fn ids(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

/// Checks every program that the other pages show, in the stranger's folder and with the dependencies that the pages name;
/// returns how many there are.
fn check_others(workspace: &Workspace, first: &Page, folder: &Path) -> Result<usize, String> {
    let told = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    let mut manifest = first.block("toml", "[package]")? + &first.block("toml", "serde_json")?;
    fs::create_dir_all(folder.join("examples")).map_err(told)?;
    let mut count = 0;
    for name in OTHERS {
        let page = Page::read(workspace, &format!("docs/guide/{name}.md"))?;
        for code in page.programs() {
            count += 1;
            fs::write(folder.join(format!("examples/{name}-{count}.rs")), code).map_err(told)?;
        }
        if name == "testing" {
            manifest += &page.block("toml", "[dev-dependencies]")?;
        }
    }
    fs::write(folder.join("Cargo.toml"), manifest).map_err(told)?;
    stranger(workspace, folder).args(["check", "--quiet", "--examples"]).run()?;
    Ok(count)
}

/// Runs a block of a page; returns what it printed.
fn bash(workspace: &Workspace, folder: &Path, commands: &str) -> Result<String, String> {
    let script = format!("set -euo pipefail\n{commands}");
    Ok(Run::new(workspace, "timeout")
        .args(["60", "bash", "-c", &script])
        .inside(folder)
        .silent()
        .run()?
        .stdout)
}

/// The blocks of code of a page: their language, and what stands in them.
struct Page {
    path: String,
    blocks: Vec<(String, String)>,
}

impl Page {
    fn read(workspace: &Workspace, path: &str) -> Result<Self, String> {
        match fs::read_to_string(workspace.root().join(path)) {
            Ok(text) => Ok(Self::of(path, &text)),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        }
    }

    fn of(path: &str, text: &str) -> Self {
        let (mut blocks, mut open) = (Vec::new(), None::<(String, String)>);
        for line in text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(info), None) => {
                    let language = info.split(',').next().unwrap_or_default();
                    open = Some((language.into(), String::new()));
                }
                (None, Some((_, block))) => {
                    block.push_str(line);
                    block.push('\n');
                }
                (None, None) => {}
            }
        }
        Self { path: path.into(), blocks }
    }

    /// The one block of `language` that holds `words`.
    fn block(&self, language: &str, words: &str) -> Result<String, String> {
        let mut found = self
            .blocks
            .iter()
            .filter(|(of, block)| of == language && block.contains(words))
            .map(|(_, block)| block);
        let path = &self.path;
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block.clone()),
            (None, _) => Err(format!("{path} has no block of `{language}` with `{words}`")),
            _ => Err(format!("{path} has several blocks of `{language}` with `{words}`")),
        }
    }

    /// The programs of a page, with the lines that rustdoc hides.
    fn programs(&self) -> impl Iterator<Item = String> {
        let programs =
            self.blocks.iter().filter(|(language, code)| language == "rust" && code.contains("fn main()"));
        programs.map(|(_, code)| {
            code.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line))).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_language_and_a_word_of_it() {
        let text = "a\n```sh\ncargo run\n```\nb\n```rust,no_run\n# use x;\nfn main() {}\n```\n```sh\ncurl x\ncurl y\n```\n";
        let page = Page::of("page.md", text);
        assert_eq!(page.block("sh", "cargo run").unwrap(), "cargo run\n");
        assert_eq!(page.block("sh", "curl").unwrap(), "curl x\ncurl y\n");
        assert_eq!(page.block("toml", "x").unwrap_err(), "page.md has no block of `toml` with `x`");
        assert_eq!(page.block("sh", "c").unwrap_err(), "page.md has several blocks of `sh` with `c`");
        assert_eq!(page.programs().collect::<Vec<_>>(), ["use x;\nfn main() {}\n"]);
    }

    #[test]
    fn ids_are_those_of_events() {
        assert_eq!(
            ids(": hb\n\nretry: 1000\n\nid: 1_2\ndata: id: x\n\nid: 1_3\ndata: {}\n\n"),
            ["1_2", "1_3"]
        );
    }
}

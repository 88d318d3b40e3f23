//! The first page of the guide, followed word for word in an empty folder, as a stranger would.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    Failed, Report, browser,
    debian::{self, Program},
};
use crate::{command::Run, workspace::Workspace};

/// The page.
const PAGE: &str = "docs/guide/first-workflow.md";
/// The program that it makes.
const NAME: &str = "haiku";
/// How it says that it is there.
const LISTENING: &str = "listening on ";
/// Where the page expects it, which another program may have here.
const ADDRESS: &str = "http://127.0.0.1:8080";

/// What the page asks for beside Rust.
const CURL: Program = Program { names: &["curl"], packages: &["curl"] };

/// Makes the program, runs it, and follows a run with the page's own commands.
pub(super) fn run(workspace: &Workspace) -> Result<Report, Failed> {
    debian::find_or_install(workspace, &CURL)?;
    let began = Instant::now();
    let page = Page::read(workspace)?;
    let folder = write(workspace, &page)?;
    let line = page.block("sh", "cargo run")?;
    let arguments = line.split_whitespace().skip(1).chain(["--", "--listen", "127.0.0.1:0"]);
    let mut server = stranger(workspace, &folder).args(arguments).start()?;
    let address = server.wait_for(LISTENING)?;
    let built = began.elapsed();
    let events = follow(workspace, &page, &address)?;
    drop(server);
    Report::checked(format!(
        "{PAGE} as it stands: listening after {:.0} s, a run followed to its end, {events} events",
        built.as_secs_f64()
    ))
}

/// Builds the program as the page has it; returns where it is.
pub(super) fn build(workspace: &Workspace) -> Result<PathBuf, String> {
    let folder = write(workspace, &Page::read(workspace)?)?;
    let output = stranger(workspace, &folder)
        .args(["build", "--message-format", "json-render-diagnostics"])
        .only_stderr()
        .run()?;
    browser::executable(&output.stdout, NAME).ok_or_else(|| format!("cargo built no program `{NAME}`"))
}

/// Cargo in the program's folder. What it builds is kept with the rest, so that a second time is quick.
fn stranger(workspace: &Workspace, folder: &Path) -> Run {
    Run::cargo(workspace)
        .inside(folder)
        .env("CARGO_TARGET_DIR", workspace.root().join("target/first-workflow"))
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

/// Starts a run and follows it; returns how many events came.
fn follow(workspace: &Workspace, page: &Page, address: &str) -> Result<usize, String> {
    let commands = page.block("sh", "curl")?;
    if !commands.contains(ADDRESS) {
        return Err(format!("{PAGE}: the commands with `curl` do not name {ADDRESS}"));
    }
    let said = bash(workspace, &std::env::temp_dir(), &commands.replace(ADDRESS, address))?;
    let told = |what: &str| said.lines().any(|line| line.starts_with("data: ") && line.contains(what));
    for what in [r#""type":"token""#, r#""type":"progress""#, r#""status":"completed""#] {
        if !told(what) {
            return Err(format!("{PAGE}: following the run told no {what}; it said:\n{said}"));
        }
    }
    Ok(said.lines().filter(|line| line.starts_with("id: ")).count())
}

/// Runs a block of the page; returns what it printed.
fn bash(workspace: &Workspace, folder: &Path, commands: &str) -> Result<String, String> {
    let script = format!("set -euo pipefail\n{commands}");
    Ok(Run::new(workspace, "timeout")
        .args(["60", "bash", "-c", &script])
        .inside(folder)
        .silent()
        .run()?
        .stdout)
}

/// The page's blocks of code: their language, and what stands in them.
struct Page(Vec<(String, String)>);

impl Page {
    fn read(workspace: &Workspace) -> Result<Self, String> {
        let text = fs::read_to_string(workspace.root().join(PAGE))
            .map_err(|error| format!("cannot read {PAGE}: {error}"))?;
        Ok(Self::of(&text))
    }

    fn of(text: &str) -> Self {
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
        Self(blocks)
    }

    /// The one block of `language` that holds `words`.
    fn block(&self, language: &str, words: &str) -> Result<String, String> {
        let mut found = self
            .0
            .iter()
            .filter(|(of, block)| of == language && block.contains(words))
            .map(|(_, block)| block);
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block.clone()),
            (None, _) => Err(format!("{PAGE} has no block of `{language}` with `{words}`")),
            _ => Err(format!("{PAGE} has several blocks of `{language}` with `{words}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_found_by_its_language_and_a_word_of_it() {
        let page = Page::of(
            "a\n```sh\ncargo run\n```\nb\n```rust,no_run\nfn main() {}\n```\n```sh\ncurl x\ncurl y\n```\n",
        );
        assert_eq!(page.block("sh", "cargo run").unwrap(), "cargo run\n");
        assert_eq!(page.block("rust", "fn main").unwrap(), "fn main() {}\n");
        assert_eq!(page.block("sh", "curl").unwrap(), "curl x\ncurl y\n");
        assert!(page.block("toml", "x").unwrap_err().contains("no block of `toml` with `x`"));
        assert!(page.block("sh", "c").unwrap_err().contains("several blocks"));
    }
}

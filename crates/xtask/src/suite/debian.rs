//! Programs that cargo and npm do not bring.

use std::path::PathBuf;

use crate::{
    command::{Run, which},
    workspace::Workspace,
};

/// A program, under any of its names, and the Debian packages that bring it.
pub(crate) struct Program {
    pub(crate) names: &'static [&'static str],
    pub(crate) packages: &'static [&'static str],
}

/// Installs `program` as root if it is missing, and returns where it is; names the line to type if it cannot.
///
/// # Errors
/// If it is missing and cannot be installed.
pub(crate) fn find_or_install(workspace: &Workspace, program: &Program) -> Result<PathBuf, String> {
    if let Some(path) = find(program, which) {
        return Ok(path);
    }
    let by_hand = by_hand(program);
    let is_root =
        Run::new(workspace, "id").args(["-u"]).silent().run().is_ok_and(|id| id.stdout.trim() == "0");
    if !is_root || which("apt-get").is_none() {
        return Err(by_hand);
    }
    println!("installing {}", program.packages.join(", "));
    let apt = || Run::new(workspace, "apt-get").env("DEBIAN_FRONTEND", "noninteractive").silent();
    apt().args(["update"]).run().map_err(|error| format!("{error}\n{by_hand}"))?;
    apt()
        .args(["install", "-y", "--no-install-recommends"])
        .args(program.packages.iter().copied())
        .run()
        .map_err(|error| format!("{error}\n{by_hand}"))?;
    find(program, which).ok_or(by_hand)
}

fn find(program: &Program, which: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    program.names.iter().find_map(|name| which(name))
}

fn by_hand(program: &Program) -> String {
    let packages = program.packages.join(" ");
    format!(
        "{} is missing; install with: apt-get update && apt-get install -y --no-install-recommends {packages}",
        program.names.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROMIUM: Program =
        Program { names: &["chromium", "google-chrome"], packages: &["chromium", "fonts-x"] };

    #[test]
    fn a_program_is_found_under_any_of_its_names() {
        let only_chrome = |name: &str| (name == "google-chrome").then(|| PathBuf::from("/opt/chrome"));
        assert_eq!(find(&CHROMIUM, only_chrome), Some("/opt/chrome".into()));
        assert_eq!(find(&CHROMIUM, |_| None), None);
    }

    #[test]
    fn what_cannot_be_installed_is_named_with_the_line_to_type() {
        assert_eq!(
            by_hand(&CHROMIUM),
            "chromium or google-chrome is missing; install with: apt-get update && apt-get install -y \
             --no-install-recommends chromium fonts-x"
        );
    }
}

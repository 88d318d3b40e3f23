//! Programs that cargo and npm do not bring.

use crate::{
    command::{Run, is_installed},
    workspace::Workspace,
};

/// A program, under any of its names, and the Debian package that has it.
pub(crate) struct Program {
    pub(crate) names: &'static [&'static str],
    pub(crate) package: &'static str,
}

/// Installs what is missing of `programs`, as root; names the line to type otherwise.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn install(workspace: &Workspace, programs: &[Program]) -> Result<(), String> {
    let missing = missing(programs, is_installed);
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!(
        "{} missing; install with: apt-get update && apt-get install -y --no-install-recommends {}",
        missing.join(", "),
        missing.join(" ")
    );
    let is_root =
        Run::new(workspace, "id").args(["-u"]).silent().run().is_ok_and(|id| id.stdout.trim() == "0");
    if !is_root || !is_installed("apt-get") {
        return Err(by_hand);
    }
    println!("installing {}", missing.join(", "));
    let apt = || Run::new(workspace, "apt-get").env("DEBIAN_FRONTEND", "noninteractive").silent();
    apt().args(["update"]).run().map_err(|error| format!("{error}\n{by_hand}"))?;
    apt()
        .args(["install", "-y", "--no-install-recommends"])
        .args(missing.iter().copied())
        .run()
        .map_err(|error| format!("{error}\n{by_hand}"))?;
    Ok(())
}

fn missing(programs: &[Program], is_installed: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let absent = |program: &&Program| !program.names.iter().any(|name| is_installed(name));
    programs.iter().filter(absent).map(|program| program.package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_there_under_any_of_its_names() {
        let programs = [
            Program { names: &["chromium", "google-chrome"], package: "chromium" },
            Program { names: &["node"], package: "nodejs" },
        ];
        assert_eq!(missing(&programs, |name| name == "google-chrome"), ["nodejs"]);
        assert!(missing(&programs, |_| true).is_empty());
        assert_eq!(missing(&programs, |_| false), ["chromium", "nodejs"]);
    }
}

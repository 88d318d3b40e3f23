//! The floor: a small C program that sends ready frames with plain `send()`, built when it is needed.

use std::{
    convert::Infallible,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
};

use crate::{arguments::FloorOptions, error::Error};

const SOURCE: &str = include_str!("../floor/floor.c");

/// What it is compiled with.
const FLAGS: [&str; 2] = ["-O2", "-std=gnu11"];

/// Compiles the floor beside this program, unless that has been done for this very source, and gives its path.
pub(crate) fn build() -> Result<PathBuf, Error> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let folder = env::current_exe().map_err(Error::system("finding this program"))?;
    let folder = folder.parent().map(PathBuf::from).unwrap_or_else(env::temp_dir);
    let mut hasher = DefaultHasher::new();
    (SOURCE, FLAGS, &compiler).hash(&mut hasher);
    let name = format!("streamnest-floor-{:016x}", hasher.finish());
    let program = folder.join(&name);
    if program.exists() {
        return Ok(program);
    }
    // Written and compiled under names of this process's own, then renamed: two may do this at once.
    let source = folder.join(format!("{name}-{}.c", std::process::id()));
    let made = source.with_extension("out");
    fs::write(&source, SOURCE).map_err(|error| Error::FloorFile { path: source.clone(), source: error })?;
    let output = Command::new(&compiler)
        .args(FLAGS)
        .arg("-o")
        .args([&made, &source])
        .output()
        .map_err(|source| Error::NoCompiler { compiler, source })?;
    if !output.status.success() {
        return Err(Error::Compiler { message: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    fs::rename(&made, &program).map_err(|source| Error::FloorFile { path: program.clone(), source })?;
    fs::remove_file(&source).map_err(|error| Error::FloorFile { path: source.clone(), source: error })?;
    Ok(program)
}

/// Runs the floor as a server of its own, until it is ended.
pub(crate) fn run_in_foreground(options: &FloorOptions) -> Result<Infallible, Error> {
    let path = build()?;
    let mut command = Command::new(&path);
    command.args(["--listen", &format!("127.0.0.1:{}", options.port)]);
    command.args(["--tick-us", &options.tick_us.to_string(), "--history", &options.history.to_string()]);
    if options.sse {
        command.arg("--sse");
    }
    // In this process's place, so that whoever ends this ends the floor.
    Err(Error::Spawn { path, source: command.exec() })
}

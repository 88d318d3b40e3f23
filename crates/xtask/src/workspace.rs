//! Where the workspace is, and what is in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::command::Run;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// The root of the workspace.
pub(crate) struct Workspace {
    root: PathBuf,
}

/// A file of ours.
pub(crate) struct SourceFile {
    /// Its path from the root, with `/`.
    pub(crate) path: String,
    /// What it holds; nothing for a picture and whatever else is no UTF-8.
    pub(crate) text: String,
}

impl SourceFile {
    /// The extension, without its dot.
    pub(crate) fn extension(&self) -> &str {
        Path::new(&self.path).extension().and_then(|e| e.to_str()).unwrap_or_default()
    }

    /// The name of the file, without its folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it holds nothing but tests: below a folder `tests`, or named `tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        self.name() == "tests.rs" || self.path.split('/').rev().skip(1).any(|folder| folder == "tests")
    }
}

impl Workspace {
    /// The workspace that this program was started in by cargo.
    pub(crate) fn here() -> Self {
        // At run time, not at compile time: a target directory may be shared by several clones.
        let manifest =
            std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
        let root =
            Path::new(&manifest).ancestors().nth(2).expect("this crate lies two folders below the root");
        Self { root: root.into() }
    }

    /// The folder of the workspace.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file of ours, sorted by path.
    pub(crate) fn files(&self) -> Result<Vec<SourceFile>, String> {
        let mut files = Vec::new();
        self.collect(&self.root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    fn collect(&self, folder: &Path, files: &mut Vec<SourceFile>) -> Result<(), String> {
        let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
        for item in fs::read_dir(folder).map_err(unreadable)? {
            let item = item.map_err(unreadable)?;
            let (path, kind) = (item.path(), item.file_type().map_err(unreadable)?);
            let name = item.file_name();
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                self.collect(&path, files)?;
            } else if kind.is_file() {
                let bytes =
                    fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                let text = String::from_utf8(bytes).unwrap_or_default();
                let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                files.push(SourceFile { path: relative.to_string_lossy().replace('\\', "/"), text });
            }
        }
        Ok(())
    }

    /// `cargo metadata` of the workspace and all that it needs on this platform, without the network.
    pub(crate) fn metadata(&self) -> Result<Value, String> {
        let host = self.host()?;
        let text = Run::cargo(self)
            .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &host])
            .silent()
            .run()
            .map_err(|error| format!("{error}\n`cargo fetch` once brings what is missing"))?;
        serde_json::from_str(&text.stdout).map_err(|error| format!("cargo metadata is not JSON: {error}"))
    }

    /// The target triple of this machine.
    pub(crate) fn host(&self) -> Result<String, String> {
        let version = Run::new(self, "rustc").args(["-vV"]).silent().run()?.stdout;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_owned).ok_or_else(|| "`rustc -vV` names no host".into())
    }
}

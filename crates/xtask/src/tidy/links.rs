//! Links from one page of the project to another.

use super::Violations;
use crate::workspace::SourceFile;

/// Refuses a relative link in Markdown whose file or heading does not exist.
pub(super) fn check(files: &[SourceFile]) -> Violations {
    let mut violations = Violations::new();
    for file in files.iter().filter(|file| file.extension() == "md") {
        for (number, line) in prose(&file.text) {
            for target in targets(&line) {
                if let Some(why) = broken(files, file, &target) {
                    violations.push(format!("{}:{number} links to `{target}`, {why}", file.path));
                }
            }
        }
    }
    violations
}

/// The lines outside of code blocks with their numbers, without inline code.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut is_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            // Every second part stands between backticks; those within a link's text are kept out with it.
            lines.push((number + 1, line.split('`').step_by(2).collect()));
        }
    }
    lines
}

/// Where the links of a line lead: `[text](target)`, `![text](target "title")` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let inner = line.get(at + 2..).unwrap_or_default();
        let target = inner.split(')').next().unwrap_or_default();
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        found.extend(target.split_whitespace().next().map(str::to_owned));
    }
    found
}

fn broken(files: &[SourceFile], from: &SourceFile, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) =
        target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let path = if path.is_empty() { from.path.clone() } else { resolve(&from.path, path) };
    let is_folder =
        files.iter().any(|file| file.path.starts_with(&format!("{}/", path.trim_end_matches('/'))));
    let Some(to) = files.iter().find(|file| file.path == path) else {
        return (!is_folder).then_some("which does not exist");
    };
    let heading = heading.filter(|_| to.extension() == "md")?;
    let exists = prose_headings(&to.text).iter().any(|known| known == heading);
    (!exists).then_some("a heading which does not exist")
}

/// Follows a relative path from the folder of the file `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a page's headings, as GitHub makes them: lower case, without punctuation, blanks as hyphens.
fn prose_headings(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut headings = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if let Some(heading) = line.strip_prefix('#').filter(|_| !is_code) {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            headings.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    fn check_one(text: &str) -> Violations {
        let page = file("docs/a.md", "# A page\n\n## Its `code`, here\n");
        check(&[page, file("docs/b/c.md", text), file("crates/x/src/lib.rs", "")])
    }

    #[test]
    fn a_link_leads_to_a_file_or_folder_that_exists() {
        assert!(
            check_one("[a](../a.md) ![x](../../crates/x/src/lib.rs \"title\") [f](../../crates/x)")
                .is_empty()
        );
        assert!(check_one("[web](https://example.com/x) [mail](mailto:a@example.com)").is_empty());
        assert_eq!(check_one("x\n[a](a.md)"), ["docs/b/c.md:2 links to `a.md`, which does not exist"]);
        assert_eq!(check_one("[a]: ../b.md"), ["docs/b/c.md:1 links to `../b.md`, which does not exist"]);
        assert_eq!(check_one("[one](../a.md) [two](../z.md)").len(), 1);
        assert_eq!(check_one("[up](../../../../etc/hosts)").len(), 1);
    }

    #[test]
    fn a_link_leads_to_a_heading_that_exists() {
        assert!(check_one("# Top\n[a](../a.md#its-code-here) [b](#top)").is_empty());
        assert_eq!(check_one("[a](../a.md#nothing)").len(), 1);
        assert_eq!(check_one("# Top\n[b](#bottom)").len(), 1);
    }

    #[test]
    fn code_is_no_link() {
        assert!(check_one("`[a](nowhere.md)`\n```text\n[a](nowhere.md)\n```\n").is_empty());
    }
}

//! Two texts, line by line.

/// Lines that two texts have in common are shown around a difference, so many on each side.
const CONTEXT: usize = 2;

/// What must be taken from `old` and put into it to make `new`: lines with `-` and `+`, and a few around them; `None` if they
/// are the same.
pub(crate) fn difference(old: &[String], new: &[String]) -> Option<String> {
    if old == new {
        return None;
    }
    let edits = edits(old, new);
    let changed: Vec<usize> =
        edits.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ').map(|(index, _)| index).collect();
    let near = |index: usize| changed.iter().any(|changed| changed.abs_diff(index) <= CONTEXT);
    let mut text = String::new();
    let mut skipped = false;
    for (index, (mark, line)) in edits.iter().enumerate() {
        match near(index) {
            true => text.push_str(&format!("{mark} {line}\n")),
            false if !skipped => text.push_str("…\n"),
            false => {}
        }
        skipped = !near(index);
    }
    Some(text)
}

/// The fewest edits, by the longest common subsequence.
fn edits<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    let width = new.len() + 1;
    let mut common = vec![0_usize; (old.len() + 1) * width];
    let at =
        |common: &[usize], row: usize, column: usize| common.get(row * width + column).copied().unwrap_or(0);
    for (row, from) in old.iter().enumerate().rev() {
        for (column, to) in new.iter().enumerate().rev() {
            let longest = match from == to {
                true => at(&common, row + 1, column + 1) + 1,
                false => at(&common, row + 1, column).max(at(&common, row, column + 1)),
            };
            if let Some(cell) = common.get_mut(row * width + column) {
                *cell = longest;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut edits = Vec::new();
    loop {
        match (old.get(row), new.get(column)) {
            (Some(from), Some(to)) if from == to => {
                edits.push((' ', from.as_str()));
                row += 1;
                column += 1;
            }
            (Some(from), to)
                if to.is_none() || at(&common, row + 1, column) >= at(&common, row, column + 1) =>
            {
                edits.push(('-', from.as_str()));
                row += 1;
            }
            (_, Some(to)) => {
                edits.push(('+', to.as_str()));
                column += 1;
            }
            (_, None) => return edits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: Option<&str>) {
        let lines = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        assert_eq!(difference(&lines(old), &lines(new)).as_deref(), expected, "{old} → {new}");
    }

    #[test]
    fn a_difference_is_the_fewest_lines_with_a_few_around_them() {
        check("a b c", "a b c", None);
        check("a b c", "a x c", Some("  a\n- b\n+ x\n  c\n"));
        check("a b", "a b c", Some("  a\n  b\n+ c\n"));
        check("a b", "", Some("- a\n- b\n"));
        check("1 2 3 4 5 6 7", "1 2 3 4 5 6 8", Some("…\n  5\n  6\n- 7\n+ 8\n"));
        check("x 1 2 3 4 5 6 y", "z 1 2 3 4 5 6 w", Some("- x\n+ z\n  1\n  2\n…\n  5\n  6\n- y\n+ w\n"));
    }
}

use super::*;

const RUN: [&str; 7] = [
    "status running",
    "node_start write {\"visit\":1}",
    "token write \"Hel\"",
    "token write \"lo\"",
    "progress write 50%",
    "node_complete write {\"visit\":1}",
    "status completed",
];

macro_rules! compare {
    ([$($pattern:expr),* $(,)?]) => {
        compare(&RUN.map(String::from), &[$($pattern.into_pattern()),*])
    };
}

#[test]
fn a_pattern_is_the_beginning_of_a_line_word_by_word() {
    for (pattern, line, meant) in [
        ("token write", "token write \"a\"", true),
        ("token write \"a\"", "token write \"a\"", true),
        ("token", "token write \"a\"", true),
        ("tok", "token write \"a\"", false),
        ("token writ", "token write \"a\"", false),
        ("token * \"a\"", "token write \"a\"", true),
        ("* write", "token write \"a\"", true),
        ("token write \"a b\"", "token write \"a b\"", true),
        ("token write \"a\" more", "token write \"a\"", false),
        ("status completed", "status completed", true),
        ("status * ", "status completed", true),
        ("status * *", "status completed", false),
    ] {
        assert_eq!(pattern.into_pattern().matches(line), meant, "{pattern} in {line}");
    }
}

#[test]
fn what_is_expected_may_leave_out_what_a_gap_stands_for_and_no_more() {
    assert_eq!(compare!([..]), Ok(()));
    assert_eq!(compare!(["status running", .., "status completed"]), Ok(()));
    assert_eq!(compare!([.., "token write", "token write", ..]), Ok(()));
    // The gap finds the second one, though the first is met before.
    assert_eq!(compare!([.., "token write", "progress write 50%", .., "status completed"]), Ok(()));
    assert_eq!(compare!(["status running", .., "node_complete", "status completed", ..]), Ok(()));
    assert!(compare!(["status running", "token write", ..]).is_err());
    assert!(compare!([.., "node_complete *"]).is_err());
    assert!(compare!([.., "token write", .., "node_start write", ..]).is_err(), "out of order");
}

#[test]
fn a_difference_shows_what_was_met_and_where_the_next_is_missing() {
    let told = compare!(["status running", .., "token write \"Help\"", .., "status completed"]).unwrap_err();
    assert_eq!(
        told,
        "run does not say `token write \"Help\"`, expectation 3 of 5, after line 1
    1  status running                   = status running
    2  node_start write {\"visit\":1}
?   3  token write \"Hel\"
    4  token write \"lo\"
    5  progress write 50%
    6  node_complete write {\"visit\":1}
    7  status completed
"
    );
    let told = compare!([.., "progress write 50%"]).unwrap_err();
    assert!(told.starts_with("run says more than is expected, from line 6 on, after line 5\n"), "{told}");
    assert!(told.contains("?   6  node_complete"), "{told}");
    let told = compare(&[], &["status running".into_pattern()]).unwrap_err();
    assert!(told.contains("it said nothing"), "{told}");
}

use clap::error::ErrorKind;

use super::*;

fn said(arguments: &[&str]) -> (ErrorKind, String) {
    let error = ServerFlags::of(arguments.iter().map(OsString::from).collect()).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn a_program_goes_by_its_own_name() {
    let (kind, text) = said(&["/usr/bin/fountain", "--version"]);
    assert_eq!(kind, ErrorKind::DisplayVersion);
    assert_eq!(text, format!("fountain (streamnest {})\n", env!("CARGO_PKG_VERSION")));
    let (kind, text) = said(&["/usr/bin/fountain", "--help"]);
    assert_eq!(kind, ErrorKind::DisplayHelp);
    assert!(text.contains("Usage: fountain [OPTIONS]"), "{text}");
    let (_, text) = said(&["/usr/bin/fountain", "--nonsense"]);
    assert!(text.contains("Usage: fountain [OPTIONS]"), "{text}");
}

#[test]
fn the_printed_address_is_one_that_can_be_opened() {
    for (bound, printed) in [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("127.0.0.2:80", "127.0.0.2:80"),
        ("192.0.2.7:80", "192.0.2.7:80"),
    ] {
        assert_eq!(to_be_opened(bound.parse().unwrap()).to_string(), printed);
    }
}

#[test]
fn a_file_of_options_is_that_of_a_program_whose_flags_are_all_ours() {
    let config = |arguments: &[&str]| {
        let arguments = ["fountain"].iter().chain(arguments).map(OsString::from).collect();
        ServerFlags::config_in(arguments)
    };
    let file = Some(PathBuf::from("a.toml"));
    assert_eq!(config(&["--config", "a.toml"]), file);
    assert_eq!(config(&["--memory", "--config=a.toml", "--listen", "127.0.0.1:0"]), file);
    assert_eq!(config(&["--log", "--config", "a.toml"]), None);
    // A program that mounts the routes, and has flags of its own.
    assert_eq!(config(&["--config", "a.toml", "--orders", "b"]), None);
    assert_eq!(config(&["serve", "--config", "a.toml"]), None);
    assert_eq!(config(&[]), None);
}

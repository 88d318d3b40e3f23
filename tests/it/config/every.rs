//! No option is forgotten: what the structs of the options have, the documentation's file names, and puts where it belongs.
//!
//! The structs say themselves what they have: by their `Debug` form, which is derived and leaves nothing out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use streamnest::{
    AppBuilder, AuthOptions, StreamingOptions, Streamnest,
    gateway::{Algorithm, AuthenticationOptions, RateLimitOptions, TokenKey},
};
use toml::{Table, Value};

use super::file;

/// What a file calls otherwise, or does not say: the path of the option, and the key of the file or why there is none.
const ELSEWHERE: &[(&str, Result<&str, &str>)] = &[
    ("engine.default_buffer_size", Ok("default_buffer_size")),
    ("gateway.heartbeats", Ok("gateway.heartbeat.enabled")),
    ("gateway.heartbeat_interval", Ok("gateway.heartbeat.interval")),
    ("gateway.pong_timeout", Ok("gateway.heartbeat.timeout")),
    ("gateway.allowed_origins", Ok("gateway.cors.origin")),
    ("gateway.allow_credentials", Ok("gateway.cors.credentials")),
    ("gateway.websocket", Ok("websocket.enabled")),
    ("gateway.authentication", Ok("gateway.authentication.enabled")),
    ("gateway.rate_limit", Ok("gateway.rate_limit.window")),
    ("source", Err("no option, but where they come from")),
];
/// Keys that have one legal word, and so no option.
const WORDS: [&str; 2] = ["gateway.authentication.strategy", "gateway.compression.algorithm"];
/// What stands below `gateway` in a file and beside it in code.
const IN_GATEWAY: [&str; 5] = ["cors.", "heartbeat.", "rate_limit.", "compression.", "authentication."];

/// The example of the documentation, which names every option.
fn example() -> (&'static str, Table) {
    let page = include_str!("../../../docs/operation.md");
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    (text, text.parse().unwrap())
}

fn read(table: &Table) -> Result<StreamingOptions, String> {
    let (_folder, path) = file(&toml::to_string(table).unwrap());
    StreamingOptions::from_file(&path).map_err(|error| error.to_string())
}

/// Every field of the options by its path, and what it is.
fn fields(options: &StreamingOptions) -> BTreeMap<String, String> {
    let (mut fields, mut stack) = (BTreeMap::<String, String>::new(), Vec::new());
    let text = format!("{options:#?}");
    for line in text.lines() {
        let line = line.trim().trim_end_matches(',');
        if matches!(line, "}" | ")" | "]") {
            stack.pop();
            continue;
        }
        let named = line
            .split_once(": ")
            .filter(|(name, _)| name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()));
        let (name, value) = named.unwrap_or(("", line));
        if value.ends_with(['{', '(', '[']) {
            stack.push(name);
            continue;
        }
        let path: Vec<_> = stack.iter().copied().chain([name]).filter(|name| !name.is_empty()).collect();
        fields.entry(path.join(".")).or_default().push_str(value);
    }
    assert!(stack.is_empty(), "the form of `Debug` was understood: {stack:?}");
    fields.remove("source");
    fields
}

/// The key by which a file gives the option `path`, or why it does not.
fn key(path: &str) -> Result<String, &'static str> {
    if let Some((_, elsewhere)) = ELSEWHERE.iter().find(|(name, _)| *name == path) {
        return elsewhere.map(Into::into);
    }
    let beside = IN_GATEWAY.iter().any(|part| path.starts_with(part));
    Ok(if beside { format!("gateway.{path}") } else { path.into() })
}

/// Every key of a file with what it says.
fn keys(table: &Table) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, table: &Table, found: &mut BTreeMap<String, Value>) {
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            match value {
                Value::Table(inner) => walk(&format!("{name}."), inner, found),
                value => drop(found.insert(name, value.clone())),
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", table, &mut found);
    found
}

/// The file with another value for `key`.
fn with(table: &Table, key: &str, value: Value) -> Table {
    let mut table = table.clone();
    let mut inner = &mut table;
    let mut parts: Vec<_> = key.split('.').collect();
    let last = parts.pop().unwrap();
    for part in parts {
        inner = inner[part].as_table_mut().unwrap();
    }
    inner.insert(last.into(), value);
    table
}

/// Another legal value of the same kind.
fn other(key: &str, value: &Value) -> Value {
    match value {
        Value::Integer(number) => Value::Integer(number + 1),
        Value::Float(number) => Value::Float(number / 2.0),
        Value::Boolean(is) => Value::Boolean(!is),
        Value::Array(_) if key.ends_with("algorithms") => Value::Array(vec!["RS256".into()]),
        Value::Array(_) if key.ends_with("scopes") => Value::Array(vec!["admin".into()]),
        Value::Array(_) if key == "engine.prices" => Value::Array(vec!["other=1/2".into()]),
        Value::Array(_) => Value::Array(vec!["192.0.2.0/24".into()]),
        Value::String(_) if key == "disk.durability" => "interval=7ms".into(),
        // Whatever it is in, it is one second more or less than a year.
        Value::String(text) if text.starts_with(|first: char| first.is_ascii_digit()) => "31535999s".into(),
        Value::String(_) => "other".into(),
        value => panic!("{key}: {value}"),
    }
}

#[test]
fn the_documentation_names_every_option_and_each_has_its_place() {
    let (text, table) = example();
    let (base, keys) = (fields(&read(&table).unwrap()), keys(&table));
    assert!(keys.len() > 100 && base.len() > 100, "{} keys, {} options", keys.len(), base.len());
    for path in base.keys() {
        let Ok(key) = key(path) else { continue };
        if keys.contains_key(&key) {
            continue;
        }
        // Of the keys for tokens it names one, and the others beside it.
        let name = key.strip_prefix("gateway.authentication.");
        let name = name.filter(|name| text.contains(name)).unwrap_or_else(|| {
            panic!("option `{path}` is forgotten: `{key}` stands neither in the file of docs/operation.md nor in ELSEWHERE")
        });
        assert_eq!(
            changed(&base, &with(&table, &key, "other".into())),
            std::slice::from_ref(path),
            "`{name}`"
        );
    }
    for (key, value) in &keys {
        let table = with(&table, key, other(key, value));
        if WORDS.contains(&key.as_str()) {
            assert!(read(&table).unwrap_err().contains("is not known; legal is"), "`{key}`");
            continue;
        }
        let changed = changed(&base, &table);
        let [path] = changed.as_slice() else { panic!("`{key}` changes {changed:?}") };
        assert_eq!(self::key(path).as_ref(), Ok(key), "`{key}` changes `{path}`");
    }
}

/// The options that a file sets otherwise.
fn changed(base: &BTreeMap<String, String>, table: &Table) -> Vec<String> {
    let fields = fields(&read(table).unwrap());
    assert!(fields.keys().eq(base.keys()), "the same options");
    base.iter().filter(|(path, value)| fields[*path] != **value).map(|(path, _)| path.clone()).collect()
}

#[test]
fn the_documentation_tells_the_defaults() {
    let (text, table) = example();
    let (told, mut defaults) = (fields(&read(&table).unwrap()), fields(&StreamingOptions::default()));
    // Nothing is limited unless it is said; then these are sensible.
    let limited = StreamingOptions::default().with_rate_limit(RateLimitOptions::default());
    let limits = fields(&limited).into_iter().filter(|(path, _)| path.starts_with("rate_limit."));
    defaults.extend(limits);
    assert!(defaults.contains_key("rate_limit.window"), "they are compared");
    // What has no default, and what is told as an example.
    let examples = [
        "data_dir",
        "default_buffer_size",
        "engine.prices",
        "gateway.allowed_hosts",
        "gateway.trusted_proxies",
        "gateway.max_connections_per_address",
        "gateway.tls",
    ];
    for (path, default) in defaults {
        let is_part = IN_GATEWAY.iter().any(|part| part.trim_end_matches('.') == path);
        if !is_part && !examples.contains(&path.as_str()) {
            assert_eq!(told[&path], default, "`{path}`");
        }
    }
    // Each of those says so where it stands, and nothing else does.
    let names = examples.iter().map(|path| path.rsplit('.').next().unwrap());
    let mut names: BTreeSet<_> = names.chain(["rate_limit"]).collect();
    for line in text.lines().filter(|line| line.contains("# no default: ")) {
        let name = line.split([' ', ']']).next().unwrap().rsplit(['.', '[']).next().unwrap();
        assert!(names.remove(name), "{line}");
    }
    assert!(names.is_empty(), "the documentation does not say `no default` of {names:?}");
}

#[tokio::test]
async fn the_documentation_tells_the_defaults_of_who_may_ask_and_the_gateway_gets_them() {
    let (_, table) = example();
    let secret = "0123456789abcdef0123456789abcdef";
    let told = read(&table).unwrap().authentication.unwrap();
    // Its file is elsewhere; what is fetched is not looked for before it serves.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    fs::write(&file, format!("{{\"keys\":[{key}]}}")).unwrap();
    let url = told.jwks_url.clone().unwrap();
    let own = |mut options: AuthOptions| {
        (options.jwks_file, options.algorithms) = (Some(file.clone()), Vec::new());
        options.with_secret_key(secret)
    };
    let gateway = async |authentication: AuthOptions| {
        let options = StreamingOptions::default().with_authentication(authentication);
        let app = Streamnest::builder().options(options).in_memory().build().await.unwrap();
        app.gateway().options().authentication.clone().unwrap()
    };
    let all = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];
    let defaults = AuthenticationOptions::new(TokenKey::secret(secret))
        .with_key(TokenKey::set_file(&file, all))
        .with_key(TokenKey::set_url(url, all))
        .with_issuers(vec!["https://id.example.org".into()])
        .with_audiences(vec!["streams".into()])
        .with_cookie(Some("session".into()));
    assert_eq!(gateway(own(told)).await, defaults);
    // Each key has its effect there.
    for (key, value) in keys(&table) {
        let Some(name) = key.strip_prefix("gateway.authentication.") else { continue };
        if ["enabled", "strategy", "jwks_file", "jwks_url", "algorithms"].contains(&name) {
            continue;
        }
        // It may be five minutes at the most.
        let value = if name == "leeway" { "31s".into() } else { other(&key, &value) };
        let changed = with(&table, &key, value);
        let changed = own(read(&changed).unwrap().authentication.unwrap());
        let (changed, defaults) = (format!("{:#?}", gateway(changed).await), format!("{defaults:#?}"));
        let lines = |text: &str| text.lines().map(String::from).collect::<BTreeSet<_>>();
        assert!(lines(&changed) != lines(&defaults), "`{key}` has no effect");
    }
}

#[tokio::test]
async fn the_parts_get_the_options_of_the_file() {
    let (text, table) = example();
    let all = keys(&table);
    let parts = ["disk.", "logs.", "engine.", "token_streams."];
    let table = all.iter().filter(|(key, _)| parts.iter().any(|part| key.starts_with(part)));
    let table = table.fold(text.parse().unwrap(), |table, (key, value)| match value {
        // It is a share.
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Array(_) => {
            with(&table, key, other(key, value))
        }
        value => panic!("{key}: {value}"),
    });
    let mut options = read(&table).unwrap();
    // Its keys are not there.
    (options.authentication, options.data_dir, options.gateway.tls) = (None, None, None);
    let directory = tempfile::tempdir().unwrap();
    let built = |builder: AppBuilder| builder.data_dir(directory.path()).build();
    let app = built(Streamnest::builder().options(options.clone())).await.unwrap();
    assert_eq!(app.get::<streamnest::log_disk::DiskStore>().unwrap().options(), &options.disk);
    assert_eq!(app.logs().options(), &options.logs);
    assert_eq!(app.engine().options().max_answers_kept, options.engine.max_answers_kept);
    assert_eq!(app.token_streaming().options(), &options.token_streams);
    assert_eq!(app.gateway().options().streams, options.gateway.streams);
    app.shut_down().await;
    drop(app);
    // The same, said in code.
    let builder = Streamnest::builder().disk_options(options.disk.clone()).log_options(options.logs.clone());
    let app = built(builder.engine_options(options.engine.clone())).await.unwrap();
    assert_eq!(app.get::<streamnest::log_disk::DiskStore>().unwrap().options(), &options.disk);
    assert_eq!((app.logs().options(), app.engine().options()), (&options.logs, &options.engine));
}

use std::{collections::BTreeSet, fs, path::Path as FilePath};

use axum::http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;

async fn fetch(path: &str, if_none_match: Option<&str>) -> (StatusCode, HeaderMap, String) {
    fetch_from(router(), path, if_none_match).await
}

async fn fetch_from(
    router: Router,
    path: &str,
    if_none_match: Option<&str>,
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    if let Some(tag) = if_none_match {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The files in `console/`, as paths beneath it, without the tests and the page.
fn files(folder: &FilePath, beneath: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{beneath}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), &format!("{name}/"), found);
        } else if !name.ends_with(".rs") && name != "index.html" {
            found.insert(name);
        }
    }
}

/// What stands between `before` and the next `after`, wherever it does.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

#[test]
fn every_file_of_the_console_is_served() {
    let mut on_disk = BTreeSet::new();
    files(&FilePath::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), "", &mut on_disk);
    let embedded: BTreeSet<_> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
    assert_eq!(embedded, on_disk);
}

#[test]
fn every_module_that_is_imported_and_every_file_that_the_page_names_exists() {
    let known: BTreeSet<_> = ASSETS.iter().map(|asset| asset.path).collect();
    let named = between(PAGE, "=\"console/", "\"");
    assert!(named.contains(&"app.js") && named.len() >= 7, "{named:?}");
    for name in named {
        assert!(known.contains(name), "index.html names {name}");
    }
    let mut imports = 0;
    for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".js")) {
        for import in between(asset.text, "} from \"", "\"") {
            let target = match (import.strip_prefix("./"), import.strip_prefix("../")) {
                (Some(sibling), _) if asset.path.starts_with("view/") => format!("view/{sibling}"),
                (Some(plain), _) | (None, Some(plain)) => plain.to_owned(),
                (None, None) => import.to_owned(),
            };
            assert!(known.contains(target.as_str()), "{} imports {import}", asset.path);
            imports += 1;
        }
    }
    assert!(imports > 20, "only {imports} imports were found");
}

#[test]
fn nothing_is_inline_and_no_markup_is_made_from_text() {
    for forbidden in ["<style", " style=", "javascript:", "http://", "https://"] {
        assert!(!PAGE.contains(forbidden), "index.html has {forbidden}");
    }
    for script in between(PAGE, "<script", "</script>") {
        assert!(script.contains(" src=\"console/") && script.ends_with('>'), "inline script: {script}");
    }
    for asset in ASSETS.iter().filter(|asset| asset.path.ends_with(".js")) {
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!asset.text.contains(forbidden), "{} has {forbidden}", asset.path);
        }
    }
}

#[test]
fn modules_stay_small() {
    for asset in ASSETS {
        let lines = asset.text.lines().count();
        assert!(lines < 400, "{} has {lines} lines", asset.path);
        assert!(lines < 300 || !asset.path.ends_with(".js"), "{} has {lines} lines", asset.path);
    }
}

#[tokio::test]
async fn the_page_comes_with_a_strict_policy() {
    let (status, headers, text) = fetch("/?execution=e1", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
    assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    assert!(text.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn assets_have_their_types_and_unknown_ones_are_not_found() {
    for (path, expected) in [
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/view/output.js", "text/javascript; charset=utf-8"),
        ("/console/theme.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let (status, headers, text) = fetch(path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert_eq!(headers[header::CONTENT_TYPE], expected, "{path}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(!text.is_empty());
    }
    for path in ["/console/nothing.js", "/console/tests.rs", "/console/index.html", "/console/view/../app.js"]
    {
        assert_eq!(fetch(path, None).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let (_, headers, _) = fetch("/console/app.js", None).await;
    let tag = headers[header::ETAG].to_str().unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let (status, headers, text) = fetch("/console/app.js", Some(&known)).await;
        assert_eq!(status, StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(headers[header::ETAG], *tag);
        assert!(text.is_empty());
    }
    assert_eq!(fetch("/console/app.js", Some("\"other\"")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_nested_page_names_its_assets_beneath_its_prefix() {
    for prefix in ["/streams", "/a/b-c"] {
        let program = Router::new().nest(prefix, router());
        let (status, _, text) = fetch_from(program.clone(), prefix, None).await;
        assert_eq!(status, StatusCode::OK, "{prefix}");
        for name in between(&text, "=\"/", "\"").into_iter().filter(|name| name.contains("console/")) {
            assert_eq!(
                fetch_from(program.clone(), &format!("/{name}"), None).await.0,
                StatusCode::OK,
                "{name}"
            );
        }
        assert!(text.contains(&format!("src=\"{prefix}/console/app.js\"")), "{prefix}");
        assert!(!text.contains("=\"console/"), "{prefix}");
    }
    assert!(fetch("/", None).await.2.contains("src=\"console/app.js\""));
}

#[test]
fn a_prefix_that_could_not_stand_in_an_attribute_is_not_written() {
    for (path, expected) in [
        ("/", None),
        ("/streams", Some("/streams")),
        ("/a/b/", Some("/a/b")),
        ("//elsewhere", None),
        ("/a\"b", None),
        ("/%22%3e", None),
        ("/a<b", None),
    ] {
        assert_eq!(prefix(path), expected, "{path}");
    }
}

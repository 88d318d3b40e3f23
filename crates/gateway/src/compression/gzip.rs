//! Answers over HTTP that are read again.

use std::io::Write as _;

use axum::response::Response;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};

use super::CompressionOptions;

/// Whether a client takes gzip (RFC 9110 §12.5.3): it is named, and its weight is not zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let is_refused = |part: &str| {
            let weight = part.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            weight == Some(0.0)
        };
        is_gzip && !parts.any(is_refused)
    })
}

/// The body of an answer, compressed if that is worth it and the client takes it. The answer says which it is.
pub(crate) fn gzip(
    options: &CompressionOptions,
    asked: &HeaderMap,
    body: Bytes,
    response: &mut Response,
) -> Bytes {
    if !options.enabled || body.len() < options.threshold {
        return body;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip(asked) {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(options.level));
    let compressed = encoder.write_all(&body).and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) if compressed.len() < body.len() => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed.into()
        }
        _ => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_gzip_if_it_names_it_and_does_not_rule_it_out() {
        for (value, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br, gzip; q=1.0", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("br", false),
            ("", false),
            ("x-gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{value}");
        }
    }
}

//! Answers over HTTP that are read again.

use std::io::{self, Write as _};

use axum::response::Response;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};

use super::CompressionOptions;
use crate::durable::Pieces;

/// What is compressed where it is asked for, in bytes: about half a millisecond's work at the default level. More is left to a
/// thread that serves nobody.
const AT_ONCE: usize = 32 << 10;

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
pub(crate) async fn gzip(
    options: &CompressionOptions,
    asked: &HeaderMap,
    body: Pieces,
    response: &mut Response,
) -> Pieces {
    if !options.enabled || body.length() < options.threshold {
        return body;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip(asked) {
        return body;
    }
    // A little is done at once; what takes longer would hold up whoever else this thread serves.
    let compressed = match body.length() {
        ..=AT_ONCE => compress(&body, options.level),
        _ => {
            let (body, level) = (body.clone(), options.level);
            let compressed = tokio::task::spawn_blocking(move || compress(&body, level)).await;
            compressed.unwrap_or_else(|error| Err(io::Error::other(error)))
        }
    };
    match compressed {
        Ok(compressed) if compressed.len() < body.length() => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed.into()
        }
        _ => body,
    }
}

fn compress(body: &Pieces, level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    body.iter().try_for_each(|piece| encoder.write_all(piece))?;
    encoder.finish()
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

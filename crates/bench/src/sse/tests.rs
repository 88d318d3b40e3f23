use super::*;

const BODY: &str =
    ": hb\n\nretry: 1000\n\nid: 1\ndata: {\"type\":\"token\"}\n\nid: 2\ndata: {\"type\":\"status\"}\n\n";
const PAYLOADS: [&str; 2] = ["{\"type\":\"token\"}", "{\"type\":\"status\"}"];

/// The body in chunks of at most `size` bytes, with the last one.
fn chunked(size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in BODY.as_bytes().chunks(size) {
        out.extend_from_slice(format!("{:X};note=1\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn check(chunks: bool, parts: &[&[u8]]) {
    let mut decoder = Decoder::new(chunks);
    let mut seen = Vec::new();
    for part in parts {
        decoder.feed(part, |payload| seen.push(String::from_utf8(payload.to_vec()).unwrap())).unwrap();
    }
    assert_eq!(seen, PAYLOADS, "{parts:?}");
    assert_eq!(decoder.is_over(), chunks);
}

#[test]
fn a_body_split_at_any_byte_gives_the_same_payloads() {
    for cut in 0..=BODY.len() {
        check(false, &[&BODY.as_bytes()[..cut], &BODY.as_bytes()[cut..]]);
    }
    for size in [1, 7, 40, 1_000] {
        let bytes = chunked(size);
        for cut in 0..=bytes.len() {
            check(true, &[&bytes[..cut], &bytes[cut..]]);
        }
    }
}

#[test]
fn refuses_a_body_that_is_not_in_chunks() {
    let feed = |bytes: &[u8]| Decoder::new(true).feed(bytes, |_| {});
    assert_eq!(feed(b"data: x\n"), Err(BodyError::ChunkLength));
    assert_eq!(feed(b"\r\n"), Err(BodyError::ChunkLength));
    assert_eq!(feed(b"2\r\nabc"), Err(BodyError::ChunkEnd));
}

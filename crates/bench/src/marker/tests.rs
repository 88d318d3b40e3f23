use super::*;

/// A token as a fountain writes it.
pub(crate) fn token(index: u32, number: u64, made_ns: u64, bytes: usize) -> String {
    let marker = format!("~T{index:06x}{number:08x}{made_ns:016x}~");
    format!("{marker:x<bytes$}")
}

#[test]
fn finds_every_token_of_a_joined_frame() {
    let content: String = (0..10).map(|number| token(7, number, 1_000 + number, 40)).collect();
    let frame = format!(r#"{{"type":"token","payload":{{"content":"{content}","index":0,"count":10}}}}"#);
    let found: Vec<_> = find(frame.as_bytes()).collect();
    let expected: Vec<_> =
        (0..10).map(|number| Marker { index: 7, number, made_ns: 1_000 + number }).collect();
    assert_eq!(found, expected);
}

#[test]
fn finds_tokens_without_padding_where_one_tilde_follows_another() {
    let content: String = (0..3).map(|number| token(0xab_cdef, number, u64::MAX, LENGTH)).collect();
    assert_eq!(find(content.as_bytes()).map(|marker| marker.number).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn is_not_misled_by_tildes_or_by_a_torn_marker() {
    let whole = token(1, 2, 3, LENGTH);
    let torn = &whole[..20];
    let text = format!("~~T~ {torn}{whole} ~Tnothexnothexnothexnothexnothex!~ {torn}");
    assert_eq!(find(text.as_bytes()).collect::<Vec<_>>(), [Marker { index: 1, number: 2, made_ns: 3 }]);
}

#[test]
fn finds_nothing_in_a_marker_cut_anywhere() {
    let whole = token(1, 2, 3, LENGTH);
    for cut in 0..LENGTH {
        assert_eq!(find(&whole.as_bytes()[..cut]).count(), 0, "cut at {cut}");
    }
}

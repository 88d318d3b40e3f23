use streamnest_protocol::native::websocket;

use super::*;

fn frames(texts: &[&str]) -> (Bytes, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for text in texts {
        websocket::text(text, &mut bytes);
        ends.push(bytes.len());
    }
    (bytes.into(), ends)
}

#[test]
fn a_cut_falls_on_the_end_of_the_frame_that_is_being_written() {
    let (long, longer) = ("x".repeat(200), "y".repeat(70_000));
    let (bytes, ends) = frames(&["a", &long, "", &longer, "end"]);
    for at in 1..=bytes.len() {
        let expected = *ends.iter().find(|end| **end >= at).unwrap();
        assert_eq!(frame_end(&bytes, at), expected, "at {at}");
    }
}

#[test]
fn what_is_cut_is_what_was_not_begun() {
    let (bytes, ends) = frames(&["first", "second", "third"]);
    let mut owed = Owed::default();
    owed.push(bytes.clone());
    owed.push(bytes.clone());
    owed.advance(ends[1] + 1);
    owed.cut();
    assert_eq!((owed.pieces.len(), &owed.pieces[0][owed.offset..]), (1, &bytes[ends[1] + 1..ends[2]]));

    owed.advance(ends[2] - ends[1] - 1);
    assert!(owed.is_empty());
    owed.push(bytes);
    owed.cut();
    assert!(owed.is_empty(), "a frame that was not begun need not be ended");
}

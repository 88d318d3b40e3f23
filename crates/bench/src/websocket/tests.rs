use proptest::prelude::*;

use super::*;

/// A frame as a server sends it.
fn server_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut masked = Vec::new();
    write_frame(opcode, payload, [0; 4], &mut masked);
    let header = masked.len() - payload.len() - 4;
    masked[1] &= 0x7f;
    masked.drain(header..header + 4);
    masked
}

#[test]
fn masks_as_the_example_of_the_rfc_does() {
    // RFC 6455 §5.7: a single-frame masked text message, "Hello".
    let mut out = Vec::new();
    write_frame(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d], &mut out);
    assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}

#[test]
fn writes_the_three_forms_of_a_length() {
    for (length, header) in [
        (125, vec![0x81, 0x80 | 125]),
        (126, vec![0x81, 0xfe, 0, 126]),
        (65_536, {
            let mut header = vec![0x81, 0xff];
            header.extend(65_536_u64.to_be_bytes());
            header
        }),
    ] {
        let mut out = Vec::new();
        write_frame(Opcode::Text, &vec![b'x'; length], [1, 2, 3, 4], &mut out);
        assert!(out.starts_with(&header), "{length}");
        assert_eq!(out.len(), header.len() + 4 + length);
    }
}

#[test]
fn refuses_what_a_server_may_not_send() {
    let mut on = |_: Opcode, _: &[u8]| {};
    assert_eq!(Decoder::default().feed(&[0x81, 0x81, 0, 0, 0, 0, 0], &mut on), Err(FrameError::Masked));
    assert_eq!(Decoder::default().feed(&[0x01, 0x01, b'x'], &mut on), Err(FrameError::Unsupported(0x01)));
    let huge = [0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(Decoder::default().feed(&huge, &mut on), Err(FrameError::TooLarge(_))));
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_frames(
        lengths in prop::collection::vec(prop_oneof![0_usize..300, 65_530_usize..65_540], 1..8),
        steps in prop::collection::vec(1_usize..200, 1..40),
    ) {
        let frames: Vec<(Opcode, Vec<u8>)> = lengths
            .iter()
            .enumerate()
            .map(|(at, &length)| {
                let opcode = if at % 3 == 2 && length <= 125 { Opcode::Ping } else { Opcode::Text };
                (opcode, vec![u8::try_from(at).unwrap(); length])
            })
            .collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|(opcode, payload)| server_frame(*opcode, payload)).collect();

        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        let mut rest = &bytes[..];
        let mut steps = steps.iter().cycle();
        while !rest.is_empty() {
            let step = (*steps.next().unwrap()).min(rest.len());
            decoder.feed(&rest[..step], |opcode, payload| seen.push((opcode, payload.to_vec()))).unwrap();
            rest = &rest[step..];
        }
        prop_assert_eq!(seen, frames);
    }
}

#[test]
fn a_frame_split_at_any_byte_is_found_whole() {
    let bytes = [server_frame(Opcode::Text, &[b'a'; 200]), server_frame(Opcode::Ping, b"hi")].concat();
    for cut in 0..=bytes.len() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            decoder.feed(part, |opcode, payload| seen.push((opcode, payload.len()))).unwrap();
        }
        assert_eq!(seen, [(Opcode::Text, 200), (Opcode::Ping, 2)], "cut at {cut}");
    }
}

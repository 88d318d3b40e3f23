use proptest::prelude::*;

use super::*;
use crate::TokenFilter;

fn plan(options: TokenOptions, max_content_bytes: usize) -> Arc<TokenPlan> {
    let pattern = options.filter.pattern.as_deref().map(|pattern| Regex::new(pattern).unwrap());
    Arc::new(TokenPlan {
        buffer_size: options.buffer_size.unwrap_or(50),
        pattern,
        max_content_bytes,
        options,
    })
}

/// A buffer whose time is set.
struct Driven {
    buffer: TokenBuffer,
    now: Instant,
    out: Vec<payload::Token>,
    /// Whether each frame had a token in it that was given long enough ago.
    flush_interval: Duration,
}

impl Driven {
    fn new(options: TokenOptions, max_content_bytes: usize) -> Self {
        let flush_interval = options.flush_interval;
        let buffer = TokenBuffer::new(
            plan(options, max_content_bytes),
            None,
            MessageId::new(1),
            None,
            At { visit: 1, attempt: 1, item: None },
        );
        Self { buffer, now: Instant::now(), out: Vec::new(), flush_interval }
    }

    fn push(&mut self, text: &str) {
        let now = self.now;
        self.buffer.push(text.into(), || now, &mut self.out);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let now = self.now;
        self.buffer.push_bytes(bytes, || now, &mut self.out);
    }

    /// Time passes, and the timer rings when it is due.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        if let Some(due) = self.buffer.due() {
            assert!(due <= now + self.flush_interval);
            if due <= now {
                self.buffer.flush(&|| now, &mut self.out);
                assert_eq!(self.buffer.due(), None);
            }
        }
    }

    fn finish(mut self) -> Vec<payload::Token> {
        let now = self.now;
        self.buffer.finish(&|| now, &mut self.out);
        self.out
    }
}

fn text(frames: &[payload::Token]) -> String {
    frames.iter().map(|frame| frame.content.as_str()).collect()
}

#[derive(Clone, Debug)]
enum Given {
    Text(String),
    Bytes(Vec<u8>),
    Pass(u64),
}

fn given() -> impl Strategy<Value = Given> {
    prop_oneof![
        4 => "[ \n]{0,2}|[a-zäß日🦀]{0,6}| [a-z]{1,4}|.{0,20}".prop_map(Given::Text),
        2 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(Given::Bytes),
        1 => (0_u64..200).prop_map(Given::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("STREAMNEST_CHAOS").is_some() { 50_000 } else { 1_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any text is whole in the end, in frames within every bound; indexes, counts and drops add up to the tokens given.
    #[test]
    fn every_token_is_framed_or_counted_as_dropped(
        gives in proptest::collection::vec(given(), 0..60),
        buffer_size in 1_usize..20,
        batch_size in 1_usize..12,
        interval in 0_u64..100,
        exclude_whitespace: bool,
        (min_length, max_length) in (proptest::option::of(0_usize..4), proptest::option::of(4_usize..12)),
        max_content_bytes in 4_usize..40,
    ) {
        let mut filter = TokenFilter::default().with_exclude_whitespace(exclude_whitespace);
        (filter.min_length, filter.max_length) = (min_length, max_length);
        let options = TokenOptions::default()
            .with_buffer_size(buffer_size)
            .with_batch_size(batch_size)
            .with_flush_interval(Duration::from_millis(interval))
            .with_filter(filter);
        let mut driven = Driven::new(options, max_content_bytes);
        let kept = |text: &str| {
            let length = text.chars().count();
            min_length.is_none_or(|min| length >= min) && max_length.is_none_or(|max| length <= max)
        };
        let filters = min_length.is_some() || max_length.is_some();
        let (mut whole, mut partial) = (Vec::new(), false);
        let mut started = false;
        for give in gives {
            // A blank that fills a frame is a first one too.
            started |= !driven.out.is_empty();
            match give {
                // A text after half a character would stand in its middle.
                Given::Text(text) if !partial => {
                    driven.push(&text);
                    if kept(&text) {
                        whole.extend_from_slice(text.as_bytes());
                        let held = exclude_whitespace && text.chars().all(char::is_whitespace);
                        if !started && !held {
                            started = true;
                            prop_assert!(driven.buffer.due().is_none(), "the first token does not wait");
                            prop_assert!(!driven.out.is_empty());
                        }
                    }
                }
                // How bytes fall into tokens depends on their cut, so that filters that look at a length see other tokens.
                Given::Bytes(bytes) if !filters => {
                    driven.bytes(&bytes);
                    whole.extend_from_slice(&bytes);
                    started |= !driven.out.is_empty();
                    partial = unfinished(&whole) > 0;
                }
                Given::Pass(ms) => driven.pass(Duration::from_millis(ms)),
                _ => {}
            }
        }
        let tokens = driven.buffer.next_index + u64::from(!driven.buffer.partial.is_empty());
        let frames = driven.finish();
        prop_assert_eq!(text(&frames), String::from_utf8_lossy(&whole));
        prop_assert_eq!(frames.iter().map(|frame| u64::from(frame.count) + frame.filtered).sum::<u64>(), tokens);
        let mut end = 0;
        for frame in &frames {
            // What was dropped stood before the frame's first token or, behind a blank, within the frame.
            prop_assert!((end..=end + frame.filtered).contains(&frame.index), "{:?} after {}", frame, end);
            end += u64::from(frame.count) + frame.filtered;
            prop_assert!(frame.content.len() <= max_content_bytes);
            prop_assert!(frame.count as usize <= batch_size || exclude_whitespace);
        }
    }

    /// However bytes are cut, the text is what all of them together are.
    #[test]
    fn bytes_are_the_same_text_however_they_are_cut(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0xE2), Just(0x82), Just(0xAC), Just(0xF0), Just(b'a')], 0..60),
        cuts in proptest::collection::vec(0_usize..60, 0..20),
    ) {
        let mut driven = Driven::new(TokenOptions::default().with_buffer_size(3), 1_000);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            driven.bytes(&bytes[piece[0]..piece[1]]);
        }
        prop_assert_eq!(text(&driven.finish()), String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_full_buffer_counts_tokens_and_not_pieces() {
    let filter = TokenFilter::default().with_exclude_whitespace(true);
    let mut driven = Driven::new(TokenOptions::default().with_buffer_size(4).with_filter(filter), 1_000);
    for token in ["a", " ", "b", " "] {
        driven.push(token);
    }
    assert_eq!(driven.out.len(), 1, "a blank and a word wait, and a blank for its word");
    driven.push("c");
    assert_eq!(text(&driven.out), "a b c");
}

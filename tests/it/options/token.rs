//! `#[stream_token]`.

use serde_json::{Value, json};
use streamnest::prelude::*;

use super::script::{run, talker};

fn shout(text: &str, token: &TokenMetadata) -> String {
    format!("{}{}", token.index, text.to_uppercase())
}

const SEVEN: [&str; 7] = ["token a", "token b", "token c", "token d", "token e", "token f", "token g"];
const WORDS: [&str; 5] = ["token Hello", "token  ", "token big", "token 1", "token extraordinary"];

pub(crate) async fn prove(option: &str) -> bool {
    let plain = run(talker!(#[stream_token]), &SEVEN).await;
    assert_eq!((plain.counts(), plain.text().as_str()), (vec![1, 6], "abcdefg"));
    match option {
        "enabled" => assert_eq!(
            run(talker!(#[stream_token(enabled = false)]), &SEVEN).await.tokens(),
            [Value::Null; 0]
        ),
        "buffer_size" => {
            assert_eq!(run(talker!(#[stream_token(buffer_size = 3)]), &SEVEN).await.counts(), [1, 3, 3]);
        }
        "batch_size" => {
            assert_eq!(run(talker!(#[stream_token(batch_size = 2)]), &SEVEN).await.counts(), [1, 2, 2, 2]);
        }
        "flush_interval" => {
            let slow = [
                "token a", "wait 50", "token b", "wait 50", "token c", "wait 50", "token d", "wait 50",
                "token e",
            ];
            assert_eq!(
                run(talker!(#[stream_token(flush_interval = "120ms")]), &slow).await.counts(),
                [1, 3, 1]
            );
            assert_eq!(
                run(talker!(#[stream_token(flush_interval = "40ms")]), &slow).await.counts(),
                [1, 1, 1, 1, 1]
            );
        }
        "format" => {
            let frame = run(talker!(#[stream_token(format = "structured")]), &SEVEN).await.tokens().remove(0);
            assert_eq!(frame["kind"], "reasoning");
            assert_eq!(plain.tokens()[0]["kind"], Value::Null);
            let json =
                run(talker!(#[stream_token(format = "json")]), &["token [1,", "token 2]"]).await.tokens();
            assert_eq!(json.last().unwrap()["value"], json!([1, 2]));
        }
        "include_metadata" => {
            let frame = run(talker!(#[stream_token(include_metadata)]), &SEVEN).await.tokens().remove(0);
            assert_eq!(frame["metadata"], json!({"source": "script"}));
            assert_eq!(plain.tokens()[0]["metadata"], Value::Null);
        }
        "processor" => {
            assert_eq!(
                run(talker!(#[stream_token(processor = shout)]), &SEVEN).await.text(),
                "0A1B2C3D4E5F6G"
            );
        }
        "filter" | "filter.min_length" => {
            let log = run(talker!(#[stream_token(filter(min_length = 2))]), &WORDS).await;
            assert_eq!(log.text(), "Hellobigextraordinary");
        }
        "filter.max_length" => {
            assert_eq!(run(talker!(#[stream_token(filter(max_length = 3))]), &WORDS).await.text(), " big1");
        }
        "filter.pattern" => {
            assert_eq!(
                run(talker!(#[stream_token(filter(pattern = "^[a-z0-9]+$"))]), &WORDS).await.text(),
                "big1extraordinary"
            );
        }
        "filter.exclude_whitespace" => {
            let blank_alone = |frames: &[Value]| frames.iter().any(|frame| frame["content"] == " ");
            let log = run(talker!(#[stream_token(batch_size = 1, filter(exclude_whitespace))]), &WORDS).await;
            assert!(!blank_alone(&log.tokens()), "{log:?}");
            assert_eq!(log.text(), "Hello big1extraordinary", "no text is lost");
            assert!(blank_alone(&run(talker!(#[stream_token(batch_size = 1)]), &WORDS).await.tokens()));
        }
        _ => return false,
    }
    true
}

pub(crate) async fn prove_group() {
    assert_eq!(run(talker!(#[stream_all]), &SEVEN).await.counts(), [1, 6], "the default without a group");
    assert_eq!(run(talker!(#[stream_all(token(buffer_size = 3))]), &SEVEN).await.counts(), [1, 3, 3]);
}

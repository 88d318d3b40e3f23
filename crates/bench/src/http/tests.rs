use super::*;

#[test]
fn waits_until_an_answer_is_whole() {
    let bytes = b"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nabcd";
    for cut in 0..bytes.len() {
        assert_eq!(parse(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    assert_eq!(parse(bytes), Ok(Some(Answer { status: 202, body: "abcd".to_owned() })));
}

#[test]
fn refuses_what_is_no_answer() {
    assert_eq!(parse(b"SSH-2.0-server\r\n\r\n"), Err(()));
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n"), Err(()), "an answer without a length has no end");
}

#[test]
fn leaves_the_buffer_size_to_the_server_unless_it_is_given() {
    let fountain =
        Fountain { index: 1, tokens: 2, tokens_per_second: 3.5, token_bytes: 33, buffer_size: None };
    let text = serde_json::to_string(&fountain).unwrap();
    assert_eq!(text, r#"{"index":1,"tokens":2,"tokens_per_second":3.5,"token_bytes":33}"#);
}

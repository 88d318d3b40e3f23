//! A server that sends whatever tokens it is told to, right or wrong.

use std::{
    fmt::Write as _,
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

/// Sends the tokens, given as fountain and number, to whoever subscribes, and then the end; gives its address.
pub(crate) fn serve(tokens: &[(u32, u64)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tokens = tokens.to_vec();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tokens) = (stream.unwrap(), tokens.clone());
            thread::spawn(move || talk(stream, &tokens));
        }
    });
    url
}

fn talk(mut stream: TcpStream, tokens: &[(u32, u64)]) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let mut answer = Vec::new();
        match &buffer[..count] {
            [b'P', ..] => answer.extend_from_slice(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"),
            [b'G', ..] => answer.extend_from_slice(
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                  sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            ),
            _ => {
                frame("subscription_confirmed", "", &mut answer);
                for (index, number) in tokens {
                    let mut content = String::new();
                    write!(content, "~T{index:06x}{number:08x}{:016x}~", 1).unwrap();
                    frame("token", &content, &mut answer);
                }
                frame("status", r#""status":"completed""#, &mut answer);
            }
        }
        stream.write_all(&answer).unwrap();
    }
}

fn frame(class: &str, content: &str, out: &mut Vec<u8>) {
    let json = format!(r#"{{"type":"{class}","payload":{{{content}}}}}"#);
    out.extend_from_slice(&[0x81, u8::try_from(json.len()).unwrap()]);
    out.extend_from_slice(json.as_bytes());
}

//! The commands that frames of clients drive: a server over a real socket, beside what the protocol promises of answers.

use proptest::prelude::*;
use serde_json::{Value, json};
use streamnest::{Streamnest, gateway::GatewayOptions};
use streamnest_protocol::native::{ClientCommand, Request};
use streamnest_tests::{server::Server, socket::Socket, workflows::Steps};
use tokio::{runtime::Runtime, sync::Mutex};

use super::{Verdict, client_frames, fuzz};

/// The execution that the frames are about.
const EXECUTION: &str = "tenant:run-1";
/// Frames of one connection. Then another takes its place, with nothing followed yet.
const FRAMES: usize = 400;

struct Client {
    runtime: Runtime,
    server: Server,
    socket: Mutex<(Socket, usize)>,
}

impl Client {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (server, socket) = runtime.block_on(async {
            // A client that is never closed for what it says can be asked about all of it.
            let options = GatewayOptions::default().with_max_bad_frames(usize::MAX);
            let builder = Streamnest::builder().workflow(Steps::default()).gateway_options(options);
            let server = Server::start(builder).await;
            let mut socket = Socket::connect(server.address).await;
            socket
                .send(
                    "start_execution",
                    json!({"workflow": "steps", "input": {"tokens": 3}, "executionId": EXECUTION}),
                )
                .await;
            socket.subscribe(EXECUTION, json!({"wait": true})).await;
            socket.entries().await;
            (server, socket)
        });
        Self { runtime, server, socket: Mutex::new((socket, 0)) }
    }

    /// What a frame was answered: everything that is no entry, up to the answer to a ping that was sent after it.
    fn say(&self, text: &str) -> Vec<Value> {
        self.runtime.block_on(async {
            let mut guard = self.socket.lock().await;
            let (socket, said) = &mut *guard;
            *said += 1;
            if said.is_multiple_of(FRAMES) {
                *socket = Socket::connect(self.server.address).await;
            }
            let fence = format!("fence {said}");
            socket.send_text(text.to_owned()).await;
            socket.send_text(json!({"type": "ping", "id": fence}).to_string()).await;
            let mut answers = Vec::new();
            loop {
                let frame = socket.next().await.expect("the connection lives, whatever it was told");
                if frame["replyTo"] == fence {
                    assert_eq!(frame["type"], "pong");
                    return answers;
                }
                // What waited for an execution for a minute is told so then.
                let is_late = frame["payload"]["code"] == "wait_timeout" || frame["type"] == "heartbeat";
                let is_read = frame["sequence"].is_number()
                    || ["gap", "snapshot"].contains(&frame["type"].as_str().unwrap());
                if !is_late && !is_read {
                    answers.push(frame);
                }
            }
        })
    }
}

/// The frames of the golden files, about a workflow and an execution that are there.
fn goldens() -> Vec<Value> {
    let mut goldens = client_frames::goldens();
    for frame in goldens.iter_mut().filter(|frame| frame["type"] == "start_execution") {
        frame["payload"]["workflow"] = "steps".into();
        frame["payload"]["input"] = json!({"tokens": 1});
    }
    goldens
}

#[test]
fn each_frame_has_one_answer_which_names_it_and_the_connection_lives() {
    let client = Client::new();
    fuzz("commands", 1_500, &client_frames::texts(goldens()), |text| {
        let answers = client.say(&text);
        let (id, is_ack) = match Request::parse(&text) {
            Err(refused) => {
                prop_assert_eq!(answers.len(), 1, "{:?}", answers);
                let told = &answers[0]["payload"];
                prop_assert_eq!(
                    (told["code"].as_str(), told["message"].as_str()),
                    (Some(refused.code), Some(&*refused.message))
                );
                prop_assert_eq!(answers[0]["replyTo"].as_str(), refused.reply_to.as_deref());
                return Ok(Verdict::Refused);
            }
            Ok(request) => (request.id, matches!(request.command, ClientCommand::Ack { .. })),
        };
        prop_assert!(answers.len() == 1 || (is_ack && answers.is_empty()), "{:?}", answers);
        for answer in &answers {
            prop_assert_eq!(answer["replyTo"].as_str(), id.as_deref(), "{}", answer);
            let is_refused = answer["type"] == "error";
            prop_assert!(!is_refused || answer["payload"]["code"] != "internal", "{}", answer);
        }
        Ok(Verdict::of(answers.iter().all(|answer| answer["type"] != "error")))
    });
    // Whoever comes after all that gets every entry.
    client.runtime.block_on(async {
        let mut socket = Socket::connect(client.server.address).await;
        socket.subscribe(EXECUTION, json!({})).await;
        let sequences: Vec<_> =
            socket.entries().await.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    });
}

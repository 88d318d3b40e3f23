//! One consumer for each delivery mode, as a program would have it.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use streamnest_client::{Client, ClientOptions, Delivery, Item, Position, StartAt};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::{Ledger, Lossy};

/// How many entries a consumer works on before it acknowledges them.
const ACKNOWLEDGES_EVERY: usize = 5;

/// A WebSocket on which the run is followed under a name; `None` if it is lost before that stands.
async fn subscribe(lossy: &mut Lossy, name: &str) -> Option<(WebSocketStream<TcpStream>, Value)> {
    lossy.prepare();
    let address = lossy.proxy.address;
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut socket, _) = client_async(format!("ws://{address}/ws"), stream).await.ok()?;
    let payload = json!({"executionId": "run", "subscription": name, "delivery": name, "wait": true});
    send(&mut socket, "subscribe_execution", payload).await?;
    loop {
        let frame = next(&mut socket).await?;
        match frame["type"].as_str().unwrap() {
            "subscription_confirmed" => return Some((socket, frame["payload"].clone())),
            "error" => panic!("{frame}"),
            _ => {}
        }
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, kind: &str, payload: Value) -> Option<()> {
    socket.send(Message::text(json!({"type": kind, "payload": payload}).to_string())).await.ok()
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<Value> {
    loop {
        if let Message::Text(text) = socket.next().await?.ok()? {
            return Some(serde_json::from_str(&text).unwrap());
        }
    }
}

fn is_terminal(frame: &Value) -> bool {
    frame["type"] == "status" && frame["payload"]["status"] != "running"
}

/// It takes what comes, and asks for nothing again. Where it begins after a lost connection tells it what it has missed: the
/// position of the confirmation, or the first number if it was confirmed before there was a run.
pub(super) async fn at_most_once(mut lossy: Lossy) -> Ledger {
    let mut ledger = Ledger::default();
    let mut last = 0;
    loop {
        let Some((mut socket, confirmed)) = subscribe(&mut lossy, "at-most-once").await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let position: Position = confirmed["position"].as_str().unwrap().parse().unwrap();
        let begins = position.seq().get();
        assert!(begins >= last, "what it was given once is behind it");
        ledger.told.extend(last + 1..=begins);
        last = begins;
        let mut began_waiting = confirmed["state"] == "waiting";
        if !["waiting", "running"].contains(&confirmed["state"].as_str().unwrap()) {
            // Nothing may be to come any more, not even the end.
            let _ = send(&mut socket, "get_status", json!({})).await;
        }
        while let Some(frame) = next(&mut socket).await {
            match frame["type"].as_str().unwrap() {
                "gap" => {
                    let bound = |name: &str| frame["payload"][name].as_u64().unwrap();
                    ledger.told.extend(bound("from")..=bound("to"));
                    last = bound("to");
                }
                "status_response"
                    if frame["payload"]["subscriptions"][0]["position"].as_str().is_some_and(|at| {
                        at.parse::<Position>().unwrap().seq().get() == last
                            && frame["payload"]["subscriptions"][0]["lag"] == 0
                    }) =>
                {
                    return ledger;
                }
                _ => {
                    if let Some(sequence) = frame["sequence"].as_u64() {
                        if std::mem::take(&mut began_waiting) {
                            ledger.told.extend(last + 1..sequence);
                        }
                        ledger.got.push(sequence);
                        last = sequence;
                    }
                    if is_terminal(&frame) {
                        return ledger;
                    }
                }
            }
        }
    }
}

/// It acknowledges what it has worked on, and remembers nothing: after a lost connection it is given again what it had not
/// acknowledged.
pub(super) async fn at_least_once(mut lossy: Lossy) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let Some((mut socket, _)) = subscribe(&mut lossy, "at-least-once").await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let mut worked_on = 0;
        while let Some(frame) = next(&mut socket).await {
            assert_ne!(frame["type"], "gap", "nothing is missing: {frame}");
            let Some(sequence) = frame["sequence"].as_u64() else { continue };
            ledger.got.push(sequence);
            worked_on += 1;
            if is_terminal(&frame) {
                return ledger;
            }
            if worked_on % ACKNOWLEDGES_EVERY == 0 {
                let ack =
                    json!({"executionId": "run", "subscription": "at-least-once", "sequence": sequence});
                if send(&mut socket, "ack", ack).await.is_none() {
                    break;
                }
            }
        }
    }
}

/// The Rust client, in a program that keeps the position together with what it made of the entries, and is itself started
/// again now and then.
pub(super) async fn exactly_once(mut lossy: Lossy) -> Ledger {
    let mut ledger = Ledger::default();
    let options = ClientOptions::default()
        .with_backoff(Duration::from_millis(2))
        .with_max_backoff(Duration::from_millis(20))
        .with_max_attempts(u32::MAX);
    let mut kept: Option<Position> = None;
    loop {
        let client =
            Client::new(&format!("http://{}", lossy.proxy.address)).unwrap().with_options(options.clone());
        let subscribe = client
            .subscribe("run".parse().unwrap())
            .subscription("exactly-once")
            .delivery(Delivery::ExactlyOnce)
            .wait();
        let subscribe = match kept {
            Some(position) => subscribe.from(StartAt::After(position)),
            None => subscribe,
        };
        lossy.prepare();
        let Ok(mut subscription) = subscribe.connect().await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        // The connections by which the client comes back are lossy too.
        let lives = 20 + lossy.random.below(150) as usize;
        for _ in 0..lives {
            lossy.prepare();
            let Some(item) = subscription.next().await else { return ledger };
            match item.unwrap() {
                Item::Entry(entry) => {
                    // In one piece, as a program does in one transaction.
                    (kept, _) = (Some(entry.position), ledger.got.push(entry.sequence.get()));
                    if ledger.got.len() % ACKNOWLEDGES_EVERY == 0 {
                        let _ = subscription.acknowledge(entry.sequence).await;
                    }
                }
                other => panic!("nothing is missing: {other:?}"),
            }
        }
    }
}

//! Any sequence of operations does to streams what it does to texts in a map.

use std::{collections::BTreeMap, time::Duration};

use proptest::{collection::vec, prelude::*};
use streamnest_core::Position;
use streamnest_log::{
    Error,
    durable::{Append, Creation, ForkAt},
};

use super::{World, close, data, name, text};

#[derive(Clone, Debug)]
enum Operation {
    Make(u8),
    Fork { of: u8, to: u8, at: usize },
    Append(u8, String),
    Close(u8),
    Delete(u8),
    Read { of: u8, from: usize },
}

/// What a stream is to be: appends with the position after each, and whether it is closed.
#[derive(Clone, Debug, Default)]
struct Model {
    appends: Vec<(Position, String)>,
    closed: bool,
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = 0..4_u8;
    prop_oneof![
        2 => path.clone().prop_map(Operation::Make),
        3 => (path.clone(), path.clone(), any::<usize>()).prop_map(|(of, to, at)| Operation::Fork { of, to, at }),
        8 => (path.clone(), "[a-z]{1,4}").prop_map(|(path, text)| Operation::Append(path, text)),
        1 => path.clone().prop_map(Operation::Close),
        2 => path.clone().prop_map(Operation::Delete),
        6 => (path, any::<usize>()).prop_map(|(of, from)| Operation::Read { of, from }),
    ]
}

async fn run(operations: Vec<Operation>) {
    let world = World::new();
    let mut models: BTreeMap<u8, Model> = BTreeMap::new();
    for operation in operations {
        match operation {
            Operation::Make(path) => {
                let made = world.streams.create(&name(&path.to_string()), text()).await;
                match models.get(&path) {
                    // It may also live on unseen for a fork, and then its path is taken too.
                    None if made.is_ok() => drop(models.insert(path, Model::default())),
                    None => assert!(matches!(made, Err(Error::StreamExists { .. }))),
                    Some(_) => drop(made),
                }
            }
            Operation::Fork { of, to, at } => {
                let Some(source) = models.get(&of).cloned() else { continue };
                let count = at % (source.appends.len() + 1);
                let after =
                    count.checked_sub(1).map_or(Position::BEFORE_FIRST, |last| source.appends[last].0);
                let fork = ForkAt {
                    source: name(&of.to_string()),
                    at: Some(after),
                    sub_offset: 0,
                    cut: |_, _| None,
                };
                let creation = Creation { fork: Some(fork), ..Creation::default() };
                let made = world.streams.create(&name(&to.to_string()), creation).await;
                if let Ok(created) = made
                    && !created.existed
                {
                    let appends = source.appends[..count].to_vec();
                    assert!(models.insert(to, Model { appends, closed: false }).is_none());
                }
            }
            Operation::Append(path, body) => {
                let found = world.streams.get(&name(&path.to_string())).await;
                assert_eq!(found.is_ok(), models.contains_key(&path));
                let (Ok(stream), Some(model)) = (found, models.get_mut(&path)) else { continue };
                match world.streams.append(&stream, data(&body)).await {
                    Ok(outcome) => model.appends.push((outcome.stand.tail, body)),
                    Err(Error::StreamClosed) => assert!(model.closed),
                    Err(error) => panic!("{error}"),
                }
            }
            Operation::Close(path) => {
                let Some(model) = models.get_mut(&path) else { continue };
                let stream = world.streams.get(&name(&path.to_string())).await.unwrap();
                let outcome = world.streams.append(&stream, Append { ..close() }).await.unwrap();
                assert_eq!(outcome.duplicate, model.closed);
                model.closed = true;
            }
            Operation::Delete(path) => {
                if models.remove(&path).is_some() {
                    let stream = world.streams.get(&name(&path.to_string())).await.unwrap();
                    world.streams.delete(&stream).await.unwrap();
                }
            }
            Operation::Read { of, from } => {
                let Some(model) = models.get(&of) else { continue };
                let skip = from % (model.appends.len() + 1);
                let stream = world.streams.get(&name(&of.to_string())).await.unwrap();
                let mut reader = world.streams.reader(&stream).await.unwrap();
                let after = skip.checked_sub(1).map_or(Position::BEFORE_FIRST, |last| model.appends[last].0);
                reader.go_after(after).unwrap();
                let chunk = reader.read(usize::MAX).await.unwrap();
                let entries = chunk.parts.iter().flat_map(|(_, entries)| entries);
                let got: Vec<u8> = entries.flat_map(|entry| entry.event().payload().to_vec()).collect();
                let wanted: String = model.appends[skip..].iter().map(|(_, body)| body.as_str()).collect();
                assert_eq!(String::from_utf8(got).unwrap(), wanted);
                reader.go_after(after).unwrap();
                let said = reader.read_passage(usize::MAX, None).await.unwrap();
                assert_eq!(said.parts.concat(), wanted.as_bytes());
                assert_eq!((said.from, said.next, said.closed), (chunk.from, chunk.next, chunk.closed));
                assert_eq!((chunk.up_to_date, chunk.closed), (true, model.closed));
                let tail = model.appends.last().map_or(Position::BEFORE_FIRST, |(position, _)| *position);
                assert_eq!(chunk.next, tail);
            }
        }
        world.clock.advance(Duration::from_millis(1));
    }
    for path in models.keys() {
        let stream = world.streams.get(&name(&path.to_string())).await.unwrap();
        world.streams.delete(&stream).await.unwrap();
    }
    assert_eq!((world.streams.len(), world.logs.len(), world.streams.bytes()), (0, 0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("STREAMNEST_CHAOS").is_some() { 5_000 } else { 200 }))]

    #[test]
    fn streams_do_what_texts_in_a_map_would(operations in vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(operations));
    }
}

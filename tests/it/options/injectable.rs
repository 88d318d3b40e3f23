//! `#[injectable]`, and `#[inject]` on its fields.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use streamnest::{core::ExecutionId, modules::Container, prelude::*};

/// A facade of another name, for which each execution has what the application has.
mod nest {
    pub(crate) mod __private {
        pub(crate) use ::streamnest::__private::{Given, Injectable, Provider};

        #[allow(non_snake_case, reason = "it stands in for an enum")]
        pub(crate) mod ProviderScope {
            #[allow(non_upper_case_globals, reason = "it stands in for a variant")]
            pub(crate) const Execution: ::streamnest::modules::ProviderScope =
                ::streamnest::modules::ProviderScope::Application;
        }
    }
}

#[injectable(scope = "execution", crate = nest)]
struct ByAnotherFacade;

#[injectable(scope = "execution")]
struct Notes {
    of: Arc<ExecutionId>,
}

#[injectable(init = begin, shutdown = end)]
struct Desk {
    notes: Scoped<Notes>,
    #[inject(default)]
    begun: AtomicU32,
    #[inject(default)]
    ended: AtomicU32,
    #[inject(value = Duration::from_secs(5))]
    patience: Duration,
    #[inject(name = "fast")]
    fast: Arc<u8>,
    slow: Arc<u8>,
}

impl Desk {
    async fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    async fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }
}

#[module(providers(ByAnotherFacade, Notes, Desk, named("fast", value(1_u8)), value(2_u8)))]
struct Office;

async fn office() -> (Container, Arc<Desk>) {
    let container = Container::builder(Office).build().await.unwrap();
    let desk = container.get::<Desk>().unwrap();
    (container, desk)
}

pub(crate) async fn prove(option: &str) -> bool {
    let (container, desk) = office().await;
    match option {
        "scope" => {
            for id in ["one", "two"] {
                let notes = desk.notes.open(&ExecutionId::new(id).unwrap()).await.unwrap();
                assert_eq!(notes.of.as_str(), id);
            }
        }
        "init" => assert_eq!(desk.begun.load(Ordering::Relaxed), 1),
        "shutdown" => {
            assert_eq!(desk.ended.load(Ordering::Relaxed), 0);
            container.shutdown().await;
            assert_eq!(desk.ended.load(Ordering::Relaxed), 1);
        }
        "crate" => {
            assert!(container.get::<Notes>().is_err());
            assert!(container.get::<ByAnotherFacade>().is_ok());
        }
        _ => return false,
    }
    true
}

pub(crate) async fn prove_field(option: &str) -> bool {
    let (_, desk) = office().await;
    match option {
        "name" => assert_eq!((*desk.fast, *desk.slow), (1, 2)),
        "default" => assert_eq!(desk.ended.load(Ordering::Relaxed), u32::default()),
        "value" => assert_eq!(desk.patience, Duration::from_secs(5)),
        _ => return false,
    }
    true
}

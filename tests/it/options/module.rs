//! `#[module]`.

use streamnest::{
    modules::{Container, Error},
    prelude::*,
    runtime::WorkflowContribution,
};

/// A facade of another name, whose workflows can be told from the real ones.
mod nest {
    pub(crate) mod __private {
        pub(crate) use ::streamnest::__private::{Module, ModuleDefinition, Provider};

        pub(crate) trait WithWorkflows {
            fn workflow<W>(self) -> Self;
        }

        impl WithWorkflows for Module {
            fn workflow<W>(self) -> Self {
                self.provide(Provider::value("by the facade that `crate` names"))
            }
        }
    }
}

#[module(crate = nest, workflows(u8))]
struct ByAnotherFacade;

#[module(providers(value(7_u8), value(3_u16)), exports(u8))]
struct Numbers;

#[module(providers(value(9_u32)), exports(u32), global)]
struct Everywhere;

/// Doubles the `u8` that it imports.
#[module(imports(Numbers), providers(factory(|number: std::sync::Arc<u8>| u64::from(*number) * 2)))]
struct Importing;

/// Asks for what `Numbers` keeps for itself.
#[module(imports(Numbers), providers(factory(|number: std::sync::Arc<u16>| u64::from(*number))))]
struct Prying;

/// Sees what a global module exports, which another one imports.
#[module(providers(factory(|number: std::sync::Arc<u32>| u64::from(*number))))]
struct Apart;

#[module(imports(Everywhere, Apart))]
struct Whole;

#[derive(State, Clone, serde::Serialize)]
struct Empty {}

#[injectable]
struct Flow;

#[workflow(state = Empty)]
impl Flow {
    #[node(start)]
    async fn begin(&self, _: &Empty) -> NodeResult<()> {
        Ok(())
    }
}

#[module(providers(Flow), workflows(Flow))]
struct Flowing;

pub(crate) async fn prove(option: &str) -> bool {
    match option {
        "imports" => {
            let container = Container::builder(Importing).build().await.unwrap();
            assert_eq!(*container.get::<u64>().unwrap(), 14);
        }
        "providers" => {
            let container = Container::builder(Numbers).build().await.unwrap();
            assert_eq!(*container.get::<u16>().unwrap(), 3);
        }
        "exports" => {
            let error = Container::builder(Prying).build().await.unwrap_err();
            assert!(matches!(error, Error::HiddenProvider { .. }), "{error}");
        }
        "workflows" => {
            let container = Container::builder(Flowing).build().await.unwrap();
            assert_eq!(container.collected::<WorkflowContribution>().len(), 1);
            let container = Container::builder(Numbers).build().await.unwrap();
            assert_eq!(container.collected::<WorkflowContribution>().len(), 0);
        }
        "global" => {
            let container = Container::builder(Whole).build().await.unwrap();
            assert_eq!(*container.get::<u64>().unwrap(), 9);
        }
        "crate" => {
            let container = Container::builder(ByAnotherFacade).build().await.unwrap();
            assert_eq!(*container.get::<&str>().unwrap(), "by the facade that `crate` names");
        }
        _ => return false,
    }
    true
}

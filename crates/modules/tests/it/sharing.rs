//! Who gets what.

use std::sync::Arc;

use streamnest_modules::{Container, Error, Module, ModuleDefinition, Overrides, Provider};

trait Voice: Send + Sync {
    fn text(&self) -> String;
}

struct Says(&'static str);

impl Voice for Says {
    fn text(&self) -> String {
        self.0.into()
    }
}

fn voice(text: &'static str) -> Provider<Says> {
    Provider::value(Says(text)).bind::<dyn Voice>(|says| says)
}

/// What a module hears: the voice that it gets.
struct Heard(String);

fn listener() -> Provider<Heard> {
    Provider::factory(|voice: Arc<dyn Voice>| Heard(voice.text()))
}

async fn heard<Kind>(root: impl streamnest_modules::IntoModule<Kind>) -> String {
    let container = Container::builder(root).build().await.unwrap_or_else(|error| panic!("{error}"));
    container.get::<Heard>().unwrap().0.clone()
}

#[tokio::test]
async fn what_a_module_provides_itself_goes_before_what_it_imports_and_that_before_what_is_global() {
    let global = || Module::new("Global").provide(voice("global")).export::<dyn Voice>().global();
    let imported = || Module::new("Imported").provide(voice("imported")).export::<dyn Voice>();
    let app = || Module::new("App").import(global()).provide(listener());
    // A global module that is imported is both.
    let elsewhere = Module::new("Elsewhere").import(global());
    assert_eq!(heard(Module::new("App").import(elsewhere).provide(listener())).await, "global");
    let feature = Module::new("Feature").import(imported()).provide(listener()).export::<Heard>();
    assert_eq!(heard(Module::new("App").import(global()).import(feature)).await, "imported");
    assert_eq!(heard(app().import(imported()).provide(voice("own"))).await, "own");
}

#[tokio::test]
async fn a_module_exports_again_what_it_imports_one_by_one_and_as_a_whole() {
    struct Voices;
    impl ModuleDefinition for Voices {
        fn module() -> Module {
            Module::of::<Self>().provide(voice("far")).export::<dyn Voice>()
        }
    }
    let one = Module::new("Between").import(Voices).export::<dyn Voice>();
    assert_eq!(heard(Module::new("App").import(one).provide(listener())).await, "far");
    let whole = Module::new("Between").import(Voices).export::<Voices>();
    assert_eq!(heard(Module::new("App").import(whole).provide(listener())).await, "far");
    let explicit = Module::new("Between").import(Voices).export_module(Voices);
    assert_eq!(heard(Module::new("App").import(explicit).provide(listener())).await, "far");
}

#[tokio::test]
async fn a_module_that_many_import_is_made_once_and_shared() {
    struct Shared(Arc<()>);
    fn shared() -> Module {
        Module::new("Shared").provide(Provider::factory(|| Shared(Arc::new(())))).export::<Shared>()
    }
    struct Left(Arc<Shared>);
    struct Right(Arc<Shared>);
    let left = Module::new("Left").import(shared).provide(Provider::factory(Left)).export::<Left>();
    let right = Module::new("Right").import(shared).provide(Provider::factory(Right)).export::<Right>();
    let container = Container::builder(Module::new("App").import(left).import(right)).build().await.unwrap();
    let (left, right) = (container.get::<Left>().unwrap(), container.get::<Right>().unwrap());
    assert!(Arc::ptr_eq(&left.0.0, &right.0.0));
}

#[tokio::test]
async fn whoever_imports_a_module_without_options_gets_the_one_with_options() {
    struct Voices;
    impl Voices {
        fn for_root(text: &'static str) -> Module {
            Module::of::<Self>().provide(voice(text)).export::<dyn Voice>()
        }
    }
    impl ModuleDefinition for Voices {
        fn module() -> Module {
            Self::for_root("default")
        }
    }
    let feature = || Module::new("Feature").import(Voices).provide(listener()).export::<Heard>();
    assert_eq!(heard(Module::new("App").import(feature())).await, "default");
    // Also where the one without options is met first.
    assert_eq!(
        heard(Module::new("App").import(feature()).import(Voices::for_root("chosen"))).await,
        "chosen"
    );
}

#[tokio::test]
async fn a_module_beside_the_root_is_seen_by_all_unless_the_program_gives_it_options_of_its_own() {
    struct Voices;
    impl Voices {
        fn for_root(text: &'static str) -> Module {
            Module::of::<Self>().provide(voice(text)).export::<dyn Voice>().global()
        }
    }
    impl ModuleDefinition for Voices {
        fn module() -> Module {
            Self::for_root("default")
        }
    }
    let heard = |root: Module| async {
        let container = Container::builder(root).also(Voices).build().await.unwrap();
        container.get::<Heard>().unwrap().0.clone()
    };
    let feature = || Module::new("Feature").provide(listener());
    assert_eq!(heard(feature()).await, "default");
    assert_eq!(heard(feature().import(Voices::for_root("chosen"))).await, "chosen");
    let twice = Container::builder(feature().import(Voices::for_root("one"))).also(Voices::for_root("two"));
    assert!(matches!(twice.build().await, Err(Error::ModuleTwice { .. })));
}

#[tokio::test]
async fn a_provider_is_one_value_under_all_its_keys() {
    let app = Module::new("App").provide(voice("one"));
    let container = Container::builder(app).build().await.unwrap();
    let (says, voice) = (container.get::<Says>().unwrap(), container.get::<dyn Voice>().unwrap());
    assert!(std::ptr::addr_eq(Arc::as_ptr(&says), Arc::as_ptr(&voice)));
}

#[tokio::test]
async fn names_tell_providers_of_one_type_apart() {
    let app =
        Module::new("App").provide(voice("a").named("first")).provide(voice("b").named("second")).provide(
            Provider::new(|given| {
                let (first, second): (Arc<dyn Voice>, Arc<dyn Voice>) =
                    (given.field("x")?, given.field("y")?);
                Ok(Heard(format!("{}{}", first.text(), second.text())))
            })
            .needs_named::<Arc<dyn Voice>>("x", "first")
            .needs_named::<Arc<dyn Voice>>("y", "second"),
        );
    let container = Container::builder(app).build().await.unwrap();
    assert_eq!(container.get::<Heard>().unwrap().0, "ab");
    assert_eq!(container.get_named::<dyn Voice>("second").unwrap().text(), "b");
    assert!(matches!(container.get::<dyn Voice>(), Err(Error::NotProvided { .. })));
}

#[tokio::test]
async fn what_is_optional_is_there_or_not() {
    let optional = || {
        Provider::factory(|voice: Option<Arc<dyn Voice>>| {
            Heard(voice.map_or_else(|| "nobody".into(), |voice| voice.text()))
        })
    };
    assert_eq!(heard(Module::new("App").provide(optional())).await, "nobody");
    assert_eq!(heard(Module::new("App").provide(optional()).provide(voice("here"))).await, "here");
    // What is not exported is not seen.
    let hidden = Module::new("Hidden").provide(voice("hidden"));
    assert_eq!(heard(Module::new("App").import(hidden).provide(optional())).await, "nobody");
}

#[tokio::test]
async fn an_async_factory_waits_for_what_it_needs_and_is_waited_for() {
    tokio::time::pause();
    struct Url(String);
    let app = Module::new("App").provide(listener()).provide(
        Provider::async_factory(|url: Arc<Url>| async move {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            Ok::<_, Error>(Says(if url.0 == "near" { "slow but there" } else { "lost" }))
        })
        .bind::<dyn Voice>(|says| says),
    );
    let app = app.provide(Provider::try_factory(|| Ok::<_, Error>(Url("near".into()))));
    assert_eq!(heard(app).await, "slow but there");
}

#[tokio::test]
async fn an_override_stands_in_wherever_it_is_provided_and_what_it_replaces_is_not_made() {
    let real = || {
        Provider::factory(|| -> Says { panic!("a test must not reach the network") })
            .bind::<dyn Voice>(|says| says)
    };
    struct Double;
    impl Voice for Double {
        fn text(&self) -> String {
            "double".into()
        }
    }
    let feature = Module::new("Feature").provide(real()).provide(listener()).export::<Heard>();
    let app = Module::new("App").import(feature).provide(real());
    let overrides = Overrides::new().replace(Provider::value(Double).bind::<dyn Voice>(|double| double));
    let container = Container::builder(app).overrides(overrides).build().await.unwrap();
    assert_eq!(container.get::<Heard>().unwrap().0, "double");
    assert_eq!(container.get::<dyn Voice>().unwrap().text(), "double");
}

#[tokio::test]
async fn contributions_of_all_modules_are_collected_in_the_order_of_the_modules() {
    let feature = |name: &'static str| {
        Module::new(name).provide(voice(name)).contribute(
            format!("line `{name}`"),
            Provider::factory(|voice: Arc<dyn Voice>| Heard(voice.text())),
        )
    };
    let app = feature("root").import(feature("first")).import(feature("second"));
    let container = Container::builder(app).build().await.unwrap();
    let lines: Vec<_> = container.collected::<Heard>().iter().map(|line| line.0.clone()).collect();
    assert_eq!(lines, ["first", "second", "root"]);
}

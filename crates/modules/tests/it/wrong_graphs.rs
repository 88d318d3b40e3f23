//! Wrong module graphs, each with the message that tells who, which field, where it is and what to do.

use std::sync::Arc;

use insta::assert_snapshot;
use streamnest_core::ExecutionId;
use streamnest_modules::{
    Container, Injectable, Module, ModuleDefinition, Overrides, Provider, ProviderScope, Scoped,
};

use crate::wrong;

trait ChatModel: Send + Sync {}
trait Tool: Send + Sync {}

struct OfflineModel;
impl ChatModel for OfflineModel {}

struct Cache;
struct Settings;

mod other {
    pub(super) struct Cache;
}

/// Needs a model.
struct Writer {
    _model: Arc<dyn ChatModel>,
}

impl Injectable for Writer {
    fn provider() -> Provider<Self> {
        Provider::new(|given| Ok(Self { _model: given.field("model")? })).needs::<Arc<dyn ChatModel>>("model")
    }
}

/// Needs a cache.
struct Reader {
    _cache: Arc<Cache>,
}

impl Injectable for Reader {
    fn provider() -> Provider<Self> {
        Provider::new(|given| Ok(Self { _cache: given.field("cache")? })).needs::<Arc<Cache>>("cache")
    }
}

fn model() -> Provider<OfflineModel> {
    Provider::value(OfflineModel).bind::<dyn ChatModel>(|model| model)
}

fn fast_writer(name: &'static str) -> Provider<Writer> {
    Provider::new(|given| Ok(Writer { _model: given.field("model")? }))
        .needs_named::<Arc<dyn ChatModel>>("model", name)
}

fn app() -> Module {
    Module::new("AppModule")
}

struct CacheModule;

impl ModuleDefinition for CacheModule {
    fn module() -> Module {
        Module::of::<Self>().provide(Provider::value(Cache)).export::<Cache>()
    }
}

/// Provides a cache for itself.
fn private_cache() -> Module {
    Module::new("PrivateCache").provide(Provider::value(Cache))
}

// Missing.

#[tokio::test]
async fn a_trait_that_nobody_provides() {
    let app = app().provide(Writer::provider());
    assert_snapshot!(wrong(app).await, @"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel`, which no module provides; add `… as dyn ChatModel` to the `providers(…)` of `AppModule`, or import a module that exports it");
}

#[tokio::test]
async fn a_type_that_nobody_provides() {
    let app = app().provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which no module provides; add `Cache` to the `providers(…)` of `AppModule`, or import a module that exports it");
}

#[tokio::test]
async fn a_parameter_of_a_factory_that_nobody_provides() {
    let app = app()
        .provide(Provider::value(Settings))
        .provide(Provider::factory(|_: Arc<Settings>, _: Arc<dyn Tool>| 7_u64));
    assert_snapshot!(wrong(app).await, @"parameter 2 of `u64` in module `AppModule` needs `dyn Tool`, which no module provides; add `… as dyn Tool` to the `providers(…)` of `AppModule`, or import a module that exports it");
}

#[tokio::test]
async fn a_near_miss() {
    struct Cashe;
    let app = app().provide(Provider::value(Cashe)).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which no module provides; did you mean `Cashe`, which module `AppModule` provides? If not, add `Cache` to the `providers(…)` of `AppModule`, or import a module that exports it");
}

#[tokio::test]
async fn a_type_of_the_same_name() {
    let app = app().provide(Provider::value(other::Cache)).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which no module provides; module `AppModule` provides another type of that name, `it::wrong_graphs::other::Cache`; what is needed is `it::wrong_graphs::Cache`");
}

#[tokio::test]
async fn an_arc_that_is_provided_as_a_value() {
    let app = app().provide(Provider::value(Arc::new(Cache))).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which no module provides; module `AppModule` provides `Arc<Cache>` as a value; provide it by `shared(…)`, which takes the `Arc`");
}

#[tokio::test]
async fn a_name_is_left_out() {
    let app =
        app().provide(model().named("fast")).provide(model().named("smart")).provide(Writer::provider());
    assert_snapshot!(wrong(app).await, @r#"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel`, which no module provides; `dyn ChatModel` is there under the names `fast`, `smart`; say which by `#[inject(name = "fast")]`"#);
}

#[tokio::test]
async fn a_name_too_many() {
    let app = app().provide(model()).provide(fast_writer("fast"));
    assert_snapshot!(wrong(app).await, @"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel` named `fast`, which no module provides; there is `dyn ChatModel` without a name; leave the name out");
}

#[tokio::test]
async fn a_misspelt_name() {
    let app =
        app().provide(model().named("fast")).provide(model().named("smart")).provide(fast_writer("smrt"));
    assert_snapshot!(wrong(app).await, @"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel` named `smrt`, which no module provides; did you mean `smart`? `dyn ChatModel` is there under the names `fast`, `smart`");
}

#[tokio::test]
async fn a_name_that_nobody_knows_for_a_type_that_nobody_provides() {
    let app = app().provide(fast_writer("fast"));
    assert_snapshot!(wrong(app).await, @r#"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel` named `fast`, which no module provides; add `named("fast", … as dyn ChatModel)` to the `providers(…)` of `AppModule`, or import a module that exports it"#);
}

#[tokio::test]
async fn a_module_is_asked_for() {
    let app = app().import(CacheModule).provide(Provider::factory(|_: Arc<CacheModule>| 7_u64));
    assert_snapshot!(wrong(app).await, @"parameter 1 of `u64` in module `AppModule` needs `CacheModule`, which no module provides; `CacheModule` is a module; import it, and ask for what it exports");
}

#[tokio::test]
async fn a_contribution_that_is_provided_nowhere() {
    let app = app().contribute("workflow `Writer`", Provider::factory(|_: Scoped<Writer>| 7_u64));
    assert_snapshot!(wrong(app).await, @"workflow `Writer` in module `AppModule` needs `Writer`, which no module provides; add `Writer` to the `providers(…)` of `AppModule`, or import a module that exports it");
}

// Hidden.

#[tokio::test]
async fn a_module_that_is_not_imported() {
    let other = Module::new("Other").import(CacheModule);
    let app = app().import(other).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which module `CacheModule` provides and exports, and `AppModule` does not import; add `CacheModule` to the `imports(…)` of `AppModule`, or export `CacheModule` again from `Other`, which imports it");
}

#[tokio::test]
async fn a_provider_that_is_not_exported() {
    let app = app().import(private_cache).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which module `PrivateCache` provides and does not export; add `Cache` to the `exports(…)` of `PrivateCache`");
}

#[tokio::test]
async fn neither_exported_nor_imported() {
    let other = Module::new("Other").provide(Reader::provider());
    let app = app().import(private_cache).import(other);
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `Other` needs `Cache`, which module `PrivateCache` provides and does not export, and `Other` does not import; add `Cache` to the `exports(…)` of `PrivateCache`, and add `PrivateCache` to the `imports(…)` of `Other`");
}

#[tokio::test]
async fn a_provider_of_the_module_that_imports() {
    fn reading() -> Module {
        Module::new("Reading").provide(Reader::provider())
    }
    let app = app().import(reading).provide(Provider::value(Cache)).export::<Cache>();
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `Reading` needs `Cache`, which module `AppModule` provides and exports, and `Reading` does not import; `AppModule` leads to `Reading` by its imports, so move `Cache` into a module of its own that both import");
}

#[tokio::test]
async fn a_private_provider_of_a_global_module() {
    let global = Module::new("Global").provide(Provider::value(Cache)).global();
    let app = app().import(global).provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @"field `cache` of `Reader` in module `AppModule` needs `Cache`, which module `Global` provides and does not export; add `Cache` to the `exports(…)` of `Global`");
}

#[tokio::test]
async fn a_trait_whose_type_alone_is_exported() {
    let models = Module::new("Models").provide(model()).export::<OfflineModel>();
    let app = app().import(models).provide(Writer::provider());
    assert_snapshot!(wrong(app).await, @"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel`, which module `Models` provides and does not export; add `dyn ChatModel` to the `exports(…)` of `Models`");
}

#[tokio::test]
async fn a_hidden_workflow() {
    let flows = Module::new("Flows").provide(model()).provide(Writer::provider());
    let app =
        app().import(flows).contribute("workflow `Writer`", Provider::factory(|_: Scoped<Writer>| 7_u64));
    assert_snapshot!(wrong(app).await, @"workflow `Writer` in module `AppModule` needs `Writer`, which module `Flows` provides and does not export; add `Writer` to the `exports(…)` of `Flows`");
}

// Two where one is meant.

#[tokio::test]
async fn two_modules_that_export_the_same() {
    let one = Module::new("One").provide(model()).export::<dyn ChatModel>();
    let two = Module::new("Two").provide(model()).export::<dyn ChatModel>();
    let app = app().import(one).import(two).provide(Writer::provider());
    assert_snapshot!(wrong(app).await, @r#"field `model` of `Writer` in module `AppModule` needs `dyn ChatModel`, which modules `One`, `Two` all export; export it from one of them, or give them names and say which by `#[inject(name = "…")]`"#);
}

#[tokio::test]
async fn a_module_that_provides_the_same_twice() {
    let app = app().provide(Provider::value(Cache)).provide(Provider::value(Cache));
    assert_snapshot!(wrong(app).await, @"module `AppModule` provides `Cache` twice; keep one of them, or tell them apart by names");
}

#[tokio::test]
async fn one_name_for_two_models() {
    let app = app()
        .provide(model().named("fast"))
        .provide(Provider::factory(|| OfflineModel).named("fast").bind::<dyn ChatModel>(|model| model));
    assert_snapshot!(wrong(app).await, @r"
2 things are wrong with the modules:
- module `AppModule` provides `OfflineModel` named `fast` twice; keep one of them, or tell them apart by names
- module `AppModule` provides `dyn ChatModel` named `fast` twice; keep one of them, or tell them apart by names
");
}

#[tokio::test]
async fn options_that_are_given_twice() {
    let cache = || Module::of::<CacheModule>().provide(Provider::value(Cache));
    let other = Module::new("Other").import(cache());
    assert_snapshot!(wrong(app().import(cache()).import(other)).await, @"module `CacheModule` is given options by `Other` and was defined by `AppModule` already; give them once, and import `CacheModule` without options elsewhere");
}

// Circles.

struct Hen(#[expect(dead_code, reason = "it is only asked for")] Arc<Egg>);
struct Egg(#[expect(dead_code, reason = "it is only asked for")] Arc<Hen>);

impl Injectable for Hen {
    fn provider() -> Provider<Self> {
        Provider::new(|given| Ok(Self(given.field("egg")?))).needs::<Arc<Egg>>("egg")
    }
}

impl Injectable for Egg {
    fn provider() -> Provider<Self> {
        Provider::new(|given| Ok(Self(given.field("hen")?))).needs::<Arc<Hen>>("hen")
    }
}

#[tokio::test]
async fn two_that_need_each_other() {
    let app = app().provide(Hen::provider()).provide(Egg::provider());
    assert_snapshot!(wrong(app).await, @"providers need each other in a circle: `Hen` (field `egg`) → `Egg` (field `hen`) → `Hen`; move what they share into a provider that needs neither, or let one get it by a method");
}

#[tokio::test]
async fn one_that_needs_itself() {
    let app = app().provide(Provider::factory(|_: Arc<Cache>| Cache));
    assert_snapshot!(wrong(app).await, @"providers need each other in a circle: `Cache` (parameter 1) → `Cache`; move what they share into a provider that needs neither, or let one get it by a method");
}

#[tokio::test]
async fn a_circle_within_executions() {
    let app = app()
        .provide(Hen::provider().scope(ProviderScope::Execution))
        .provide(Egg::provider().scope(ProviderScope::Execution));
    assert_snapshot!(wrong(app).await, @"providers need each other in a circle: `Hen` (field `egg`) → `Egg` (field `hen`) → `Hen`; move what they share into a provider that needs neither, or let one get it by a method");
}

#[tokio::test]
async fn modules_that_import_each_other() {
    fn users() -> Module {
        Module::new("Users").import(posts)
    }
    fn posts() -> Module {
        Module::new("Posts").import(users)
    }
    assert_snapshot!(wrong(app().import(users)).await, @"modules import each other in a circle: `Users` → `Posts` → `Users`; move what they share into a module that both import");
}

// Exports.

#[tokio::test]
async fn an_export_of_what_is_nowhere() {
    assert_snapshot!(wrong(app().export::<Cache>()).await, @"module `AppModule` exports `Cache`, which it neither provides nor imports; add it to the `providers(…)` of `AppModule`, or drop the export");
}

#[tokio::test]
async fn an_export_of_what_another_module_keeps() {
    let app = app().import(private_cache).export::<Cache>();
    assert_snapshot!(wrong(app).await, @"module `AppModule` exports `Cache`, which it neither provides nor imports; module `PrivateCache` provides it; import `PrivateCache`, which must export it too");
}

#[tokio::test]
async fn an_export_of_a_module_that_is_not_imported() {
    let other = Module::new("Other").export::<CacheModule>();
    assert_snapshot!(wrong(app().import(CacheModule).import(other)).await, @"module `Other` exports module `CacheModule`, which it does not import; add it to the `imports(…)` of `Other`");
}

#[tokio::test]
async fn an_export_of_a_function_that_is_not_imported() {
    assert_snapshot!(wrong(app().export_module(private_cache)).await, @"module `AppModule` exports module `private_cache`, which it does not import; add it to the `imports(…)` of `AppModule`");
}

#[tokio::test]
async fn an_export_under_a_name_that_is_not_there() {
    let app = app().provide(model()).export_named::<dyn ChatModel>("fast");
    assert_snapshot!(wrong(app).await, @"module `AppModule` exports `dyn ChatModel` named `fast`, which it neither provides nor imports; there is `dyn ChatModel` without a name; leave the name out");
}

// Scopes.

#[tokio::test]
async fn one_for_all_needs_one_of_an_execution() {
    let app = app()
        .provide(Provider::factory(|| Cache).scope(ProviderScope::Execution))
        .provide(Reader::provider());
    assert_snapshot!(wrong(app).await, @r#"field `cache` of `Reader` in module `AppModule` needs `Cache`, of which each execution has its own, and `Reader` lives as long as the application; give it `scope = "execution"` too, or let it take a `Scoped` of that"#);
}

#[tokio::test]
async fn one_for_all_needs_the_id_of_an_execution() {
    let app = app().provide(Provider::factory(|_: Arc<ExecutionId>| Cache));
    assert_snapshot!(wrong(app).await, @r#"parameter 1 of `Cache` in module `AppModule` needs `ExecutionId`, of which each execution has its own, and `Cache` lives as long as the application; give it `scope = "execution"` too, or let it take a `Scoped` of that"#);
}

#[tokio::test]
async fn a_value_for_each_execution() {
    let app = app().provide(Provider::value(Cache).scope(ProviderScope::Execution));
    assert_snapshot!(wrong(app).await, @"value `Cache` in module `AppModule` is there already and cannot be made for each execution; make it by a factory, or leave its scope out");
}

// Overrides, questions of the program, and fields that were not declared.

#[tokio::test]
async fn an_override_that_replaces_nothing() {
    let app = app().provide(model());
    let overrides = Overrides::new().replace(Provider::value(Cache));
    let error = Container::builder(app).overrides(overrides).build().await.unwrap_err();
    assert_snapshot!(error, @"override of `Cache` replaces nothing: no module provides that; drop it, or bind it to what it stands in for");
}

#[tokio::test]
async fn an_override_that_lacks_the_name() {
    let app = app().provide(model().named("fast"));
    let overrides = Overrides::new().replace(model());
    let error = Container::builder(app).overrides(overrides).build().await.unwrap_err();
    assert_snapshot!(error, @r#"override of `dyn ChatModel` replaces nothing: no module provides that; `dyn ChatModel` is there under the names `fast`; say which by `named("fast")`"#);
}

#[tokio::test]
async fn the_program_asks_for_what_is_not_there() {
    let container = Container::builder(app().provide(Provider::value(Cache))).build().await.unwrap();
    assert_snapshot!(container.get::<Settings>().err().unwrap(), @"no module provides `Settings`; add it to the `providers(…)` of `AppModule` or of a module that it imports");
}

#[tokio::test]
async fn a_field_that_is_not_declared() {
    let app =
        app().provide(model()).provide(Provider::new(|given| Ok(Writer { _model: given.field("model")? })));
    assert_snapshot!(wrong(app).await, @"`Writer` in module `AppModule` could not be made: `Writer` takes field `model` as `dyn ChatModel` and does not declare it so; add it by `needs`");
}

#[tokio::test]
async fn several_mistakes_are_told_at_once() {
    let app = app()
        .import(private_cache)
        .provide(Reader::provider())
        .provide(Writer::provider())
        .export::<Settings>();
    assert_snapshot!(wrong(app).await, @r"
3 things are wrong with the modules:
- module `AppModule` exports `Settings`, which it neither provides nor imports; add it to the `providers(…)` of `AppModule`, or drop the export
- field `cache` of `Reader` in module `AppModule` needs `Cache`, which module `PrivateCache` provides and does not export; add `Cache` to the `exports(…)` of `PrivateCache`
- field `model` of `Writer` in module `AppModule` needs `dyn ChatModel`, which no module provides; add `… as dyn ChatModel` to the `providers(…)` of `AppModule`, or import a module that exports it
");
}

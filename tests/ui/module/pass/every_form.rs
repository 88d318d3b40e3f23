//! Every form of every list, built and asked.
use std::sync::Arc;

use streamnest::{modules::{Container, Error}, prelude::*};

trait Voice: Send + Sync {
    fn text(&self) -> String;
}

trait Loud: Send + Sync {}

#[injectable]
struct Plain;

impl Voice for Plain {
    fn text(&self) -> String {
        "plain".into()
    }
}

impl Loud for Plain {}

struct Said(&'static str);

impl Voice for Said {
    fn text(&self) -> String {
        self.0.into()
    }
}

struct Line(String);
struct Page(String);
struct Book(String);

fn line(voice: Arc<dyn Voice>) -> Line {
    Line(voice.text())
}

async fn book(page: Arc<Page>, missing: Option<Arc<u8>>) -> Result<Book, Error> {
    Ok(Book(format!("{}{}", page.0, missing.is_none())))
}

#[module(
    providers(
        Plain as dyn Voice as dyn Loud,
        named("said", value(Said("said")) as dyn Voice),
        named("shared", shared(Arc::new(Said("shared")) as Arc<dyn Voice>)),
        factory(line),
        try_factory(|line: Arc<Line>| Ok::<_, Error>(Page(format!("{}!", line.0)))),
        async_factory(book),
        provider(Provider::factory(|| 7_i64).scope(ProviderScope::Execution)),
    ),
    exports(dyn Voice, named("said", dyn Voice), Book),
)]
pub struct Words;

fn more_words() -> Module {
    Module::new("More").import(Words).export::<Words>()
}

#[module(imports(more_words), exports(module(more_words)), global)]
struct Between;

#[module(imports(Between, Module::new("Value").provide(Provider::value(3_u16)).export::<u16>()), exports(Between))]
struct AppModule;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let container = Container::builder(AppModule).build().await.unwrap();
    assert_eq!(container.get::<dyn Voice>().unwrap().text(), "plain");
    assert_eq!(container.get_named::<dyn Voice>("said").unwrap().text(), "said");
    assert_eq!(container.get_named::<dyn Voice>("shared").unwrap().text(), "shared");
    assert_eq!(container.get::<Book>().unwrap().0, "plain!true");
    assert_eq!(*container.get::<u16>().unwrap(), 3);
    assert!(container.get::<dyn Loud>().is_ok());
}

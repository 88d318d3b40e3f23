use std::sync::Arc;

use streamnest::prelude::*;

#[injectable]
struct Writer<M: ChatModel> {
    model: Arc<M>,
}

#[module(providers(OfflineModel, Writer<OfflineModel>))]
struct AppModule;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let container = streamnest::modules::Container::builder(AppModule).build().await.unwrap();
    assert_eq!(container.get::<Writer<OfflineModel>>().unwrap().model.name(), "offline");
}

use streamnest::runtime::Workflow;

fn main() {
    use streamnest::prelude::{NodeResult, State};

    #[derive(State, Clone, serde::Serialize)]
    struct Draft {
        text: String,
    }

    struct DraftReply;

    #[streamnest::workflow(state = Draft)]
    impl DraftReply {
        #[streamnest::node(start)]
        #[::streamnest::stream_token(batch_size = 2)]
        async fn draft(&self, _: &Draft) -> NodeResult<DraftUpdate> {
            Ok(DraftUpdate::new())
        }
    }

    let definition = format!("{:?}", DraftReply::definition());
    assert!(definition.contains("batch_size: 2"), "{definition}");
}

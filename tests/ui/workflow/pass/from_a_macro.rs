use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

macro_rules! define {
    ($ty:ident, $state:ty, $name:literal, $method:ident, $size:expr, { $($body:tt)* }) => {
        #[workflow(name = $name, state = $state)]
        impl $ty {
            #[node(start)]
            #[stream_token(buffer_size = 4)]
            async fn $method(&self, state: &$state) -> NodeResult<DraftUpdate> {
                let _ = $size;
                $($body)*
                Ok(DraftUpdate::new().text(state.text.clone()))
            }
        }
    };
}

define!(DraftReply, Draft, "from-a-macro", draft, 3, {});

fn main() {
    let definition = format!("{:?}", DraftReply::definition());
    assert!(definition.contains("from-a-macro") && definition.contains("Some(4)"), "{definition}");
}

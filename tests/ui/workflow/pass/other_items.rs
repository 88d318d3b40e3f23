use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

macro_rules! greeting {
    ($name:ident) => {
        pub fn $name(&self) -> &'static str {
            "hello"
        }
    };
}

/// Replies.
#[allow(clippy::unused_self)]
#[workflow(state = Draft)]
impl DraftReply {
    /// How many.
    pub const LIMIT: usize = { 3 };

    greeting!(greet);

    #[must_use]
    pub const fn limit(&self) -> usize {
        Self::LIMIT
    }

    /// The first node.
    #[node(start)]
    #[inline]
    #[allow(clippy::needless_pass_by_value)]
    pub(crate) async fn draft(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        let text = if state.text.len() > self.limit() { self.greet() } else { "short" };
        Ok(DraftUpdate::new().text(text))
    }

    #[allow(unused_braces)] // An attribute of the user's, which must stay.
    fn grid(_: [u8; { 1 + 1 }]) -> Grid<{ 2 }> {
        Grid
    }
}

struct Grid<const N: usize>;

fn main() {
    let Grid::<2> = DraftReply::grid([0; 2]);
    assert_eq!(DraftReply.greet(), "hello");
    assert!(format!("{:?}", DraftReply::definition()).contains("draft"));
}

use streamnest::{prelude::*, runtime::Workflow};

#[derive(State, Clone, serde::Serialize)]
struct Draft {
    text: String,
}

struct DraftReply;

trait Model: Send + Sync + 'static {
    fn answer(&self, prompt: &str) -> String;
}

struct Echo;

impl Model for Echo {
    fn answer(&self, prompt: &str) -> String {
        prompt.to_owned()
    }
}

struct Writer<M, const LIMIT: usize> {
    model: M,
}

#[workflow(name = "writer", state = Draft)]
impl<M, const LIMIT: usize> Writer<M, LIMIT>
where
    M: Model,
{
    #[node(start)]
    async fn write(&self, state: &Draft) -> NodeResult<DraftUpdate> {
        let answer = self.model.answer(&state.text);
        Ok(DraftUpdate::new().text(answer.chars().take(LIMIT).collect::<String>()))
    }
}

fn main() {
    let _ = (DraftReply, Writer::<Echo, 3> { model: Echo });
    assert!(format!("{:?}", Writer::<Echo, 3>::definition()).contains("write"));
}

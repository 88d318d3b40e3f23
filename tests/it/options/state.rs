//! `#[state]`, on a struct and on its fields.

use serde_json::json;
use streamnest::prelude::*;

use super::script::{app, only, run_with};

/// A facade of another name, whose reducer can be told from the real one.
mod nest {
    pub(crate) mod __private {
        pub(crate) use ::streamnest::__private::*;

        pub(crate) mod reduce {
            pub(crate) fn replace<T: From<&'static str>>(current: &mut T, _: T) {
                *current = "by the facade that `crate` names".into();
            }
        }
    }
}

#[derive(State, Clone, Serialize)]
#[state(crate = nest)]
struct Named {
    #[state(default)]
    text: String,
}

struct ByAnotherFacade;

#[workflow(state = Named)]
impl ByAnotherFacade {
    #[node(start)]
    async fn set(&self, _: &Named) -> NodeResult<NamedUpdate> {
        Ok(NamedUpdate::new().text("set"))
    }
}

#[derive(State, Clone, Serialize)]
struct Fields {
    plain: String,
    #[state(default)]
    of_type: u32,
    #[state(default = 7)]
    of_expression: u32,
    #[state(default = vec![0], reducer = append)]
    appended: Vec<u32>,
    #[state(default = 5, reducer = most)]
    most: u32,
    #[state(default = 5, reducer = maximum)]
    maximum: u32,
    #[state(default = 5, reducer = minimum)]
    minimum: u32,
    #[state(default = 5, reducer = sum)]
    sum: u32,
}

fn most(current: &mut u32, update: u32) {
    *current = update.max(*current);
}

struct Changing;

#[workflow(state = Fields)]
impl Changing {
    #[node(start)]
    async fn change(&self, _: &Fields) -> NodeResult<FieldsUpdate> {
        Ok(FieldsUpdate::new()
            .plain("new")
            .appended([1, 2])
            .most(3_u32)
            .maximum(3_u32)
            .minimum(3_u32)
            .sum(3_u32))
    }
}

#[derive(State, Clone, Serialize)]
struct Extremes {
    #[state(default, reducer = most, commutes)]
    most: u32,
    #[state(default, reducer = most)]
    least: u32,
}

/// Two branches that change a field at the same time; its function says that it commutes, or does not.
struct Parallel;

impl Parallel {
    fn update(state: &Extremes, most: u32) -> ExtremesUpdate {
        let update = ExtremesUpdate::new().most(most);
        if state.least > 0 { update.least(most) } else { update }
    }
}

#[workflow(state = Extremes)]
impl Parallel {
    #[node(start)]
    async fn begin(&self, _: &Extremes) -> NodeResult<()> {
        Ok(())
    }

    #[node(after = "begin")]
    async fn two(&self, state: &Extremes) -> NodeResult<ExtremesUpdate> {
        Ok(Self::update(state, 2))
    }

    #[node(after = "begin")]
    async fn three(&self, state: &Extremes) -> NodeResult<ExtremesUpdate> {
        Ok(Self::update(state, 3))
    }
}

pub(crate) async fn prove(option: &str) -> bool {
    let end = run_with(Changing, json!({"plain": "old"})).await.end();
    match option {
        "crate" => {
            let end = run_with(ByAnotherFacade, json!({})).await.end();
            assert_eq!(end["result"]["text"], "by the facade that `crate` names");
        }
        "default" => {
            assert_eq!((&end["result"]["of_type"], &end["result"]["of_expression"]), (&json!(0), &json!(7)));
            let given =
                run_with(Changing, json!({"plain": "old", "of_type": 1, "of_expression": 2})).await.end();
            assert_eq!(
                (&given["result"]["of_type"], &given["result"]["of_expression"]),
                (&json!(1), &json!(2))
            );
        }
        "reducer" => {
            assert_eq!(end["result"]["plain"], "new");
            assert_eq!(end["result"]["appended"], json!([0, 1, 2]));
            assert_eq!(end["result"]["most"], 5);
            let results = ["maximum", "minimum", "sum"].map(|field| end["result"][field].clone());
            assert_eq!(results, [5, 3, 8]);
            let schema = only(&app(Changing).await).state_schema;
            let reducers =
                ["plain", "appended", "most", "sum"].map(|f| schema["properties"][f]["x-reducer"].clone());
            assert_eq!(reducers, ["replace", "append", "function", "sum"]);
        }
        "commutes" => {
            let end = run_with(Parallel, json!({})).await.end();
            assert_eq!(end["result"], json!({"most": 3, "least": 0}));
            let end = run_with(Parallel, json!({"least": 9})).await.end();
            assert_eq!(end["error"]["code"], "state_conflict");
        }
        _ => return false,
    }
    true
}

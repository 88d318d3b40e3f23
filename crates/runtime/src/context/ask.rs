//! A node that asks a person.

use std::{future::pending, time::Duration};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use streamnest_core::{Approval, AskId, Timestamp};
use tokio::time::sleep;

use super::NodeContext;
use crate::{
    NodeError, NodeResult, Question,
    asks::form::{Form, Reads},
};

impl NodeContext {
    /// Asks a person, and waits for an answer of the type `T`.
    ///
    /// The execution is paused meanwhile: its log says so by an `approval` event with the question and the JSON Schema of
    /// `T`, `GET /executions/{id}` lists the question under `waiting`, and who sees the execution may answer, on the page or by
    /// `POST /executions/{id}/signals`. Answers that do not fit are refused, and the question stays open. The answer that
    /// counts is in the log, and durable, when this returns.
    ///
    /// Whatever the node's attributes say, a question is always in the log. Timeouts of the node and the workflow stand
    /// still while it waits, unless the question is [on the clock](Question::on_the_clock). Several questions may be open at
    /// once. A retry of the node asks anew: let a node that may fail afterwards come after one that asks.
    ///
    /// ```
    /// # use streamnest_runtime::{NodeContext, NodeResult, Question};
    /// # use schemars::JsonSchema;
    /// # use serde::Deserialize;
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Verdict {
    ///     publish: bool,
    /// }
    ///
    /// # async fn node(draft: String, ctx: &NodeContext) -> NodeResult<bool> {
    /// let verdict: Verdict = ctx.ask(Question::new("May this be published?").about(draft)).await?;
    /// # Ok(verdict.publish)
    /// # }
    /// ```
    ///
    /// # Errors
    /// With the code `ask_timeout` if nobody answers by the deadline and there is no default; `too_many_asks` at the limit of
    /// `EngineOptions::max_open_asks`; `invalid_question` if the schema is none or the default answer does not fit it;
    /// `event_too_large` if the log does not take the question; `ask_closed` once the visit or the execution has ended.
    ///
    /// # Cancel safety
    /// A question that is no longer waited for is withdrawn: the log says so, and it takes no answer any more.
    pub async fn ask<T>(&self, question: Question) -> NodeResult<T>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
        let reads: Reads = |answer| T::deserialize(answer).map(drop).map_err(|error| error.to_string());
        let answer = self.put(question, schema.to_value(), reads).await?;
        Ok(serde_json::from_value(answer)?)
    }

    /// Asks a person, and waits for an answer that fits a JSON Schema (2020-12 unless its `$schema` says otherwise), as
    /// [`ask`](Self::ask) does. The schema refers to nothing outside itself.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_json(&self, question: Question, schema: Value) -> NodeResult<Value> {
        self.put(question, schema, |_| Ok(())).await
    }

    async fn put(&self, question: Question, schema: Value, reads: Reads) -> NodeResult<Value> {
        let invalid = |what: &str, reason: String| {
            let message = format!("{what} of a question of node `{}`: {reason}", self.node_id());
            NodeError::coded("invalid_question", message)
        };
        let form = Form::new(&schema, reads).map_err(|reason| invalid("schema", reason))?;
        if let Some(default) = &question.default {
            form.check(default).map_err(|reason| invalid("default answer", reason))?;
        }
        // What the node said before is in the log before the question is.
        self.output.flush().await;
        if self.output.is_closed() {
            return Err(NodeError::coded(
                "ask_closed",
                format!("the visit of node `{}` has ended", self.node_id()),
            ));
        }
        let Question { text, about, prefill, timeout, default, on_the_clock } = question;
        let execution = &self.output.execution;
        let now = execution.writer().log().now();
        let approval = |ask: AskId| Approval {
            ask,
            node_id: self.node_id().clone(),
            visit: self.visit(),
            attempt: self.attempt(),
            item: self.output.item,
            question: text,
            about,
            schema,
            prefill,
            deadline: timeout.map(|timeout| after(now, timeout)),
            default,
        };
        let _stand = (!on_the_clock).then(|| self.output.hold_time());
        let asked = execution.asks.ask(execution, approval, form).await?;
        let deadline = async {
            match timeout {
                Some(timeout) => sleep(timeout).await,
                None => pending().await,
            }
        };
        asked.answer(deadline).await?.ok_or_else(|| {
            let message =
                format!("nobody answered node `{}` within {:?}", self.node_id(), timeout.unwrap_or_default());
            NodeError::coded("ask_timeout", message)
        })
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(wait))
}

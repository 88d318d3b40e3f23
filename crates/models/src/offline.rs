//! A model that needs no network: a Markov chain over the project's own prose.

use std::sync::Arc;

use futures_util::stream;
use streamnest_modules::{Injectable, Provider};

use crate::{
    ChatMessage, ChatModel, ChatRequest, ChatStream, Error,
    chat::refused,
    offline::{
        answer::Answer,
        chain::Chain,
        telling::Telling,
        writer::{Prompt, Writer},
    },
};

mod answer;
mod chain;
mod corpus;
mod options;
mod stop;
mod telling;
mod writer;

pub use options::OfflineOptions;

/// The name of this model.
const NAME: &str = "offline";

/// A real if humble text generator, for examples, first steps and load tests: no key, no network, no money.
///
/// It is a word-level Markov chain over the prose that the project's authors wrote about streams, logs and workflows, or over
/// [a text of yours](OfflineOptions::corpus). It knows which words follow which, and nothing else. The prompt steers it: it
/// begins with a sentence that shares words with the prompt and prefers such words where it has a choice. The same seed,
/// request and options give the same text. A token is one word with the blank before it.
///
/// Of the fields of a [`ChatRequest`], `tools` and messages that call or answer them are refused; all others have their
/// effect. An answer ends with a sentence shortly before `max_tokens`, or exactly there. Its usage counts words and is marked
/// as estimated.
///
/// ```
/// use streamnest_models::{ChatModelExt as _, ChatRequest, OfflineModel, OfflineOptions};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), streamnest_models::Error> {
/// let model = OfflineModel::new(OfflineOptions::default().with_tokens_per_second(30.0))?;
/// let request = ChatRequest::from("What does a cursor do?").with_max_tokens(40).with_seed(7);
/// let answer = model.generate(request.clone()).await?;
/// assert_eq!(answer, model.generate(request).await?);
/// assert!(answer.usage.is_some_and(|usage| usage.estimated && usage.output_tokens <= 40));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OfflineModel {
    chain: Arc<Chain>,
    options: Arc<OfflineOptions>,
}

impl OfflineModel {
    /// A model with these options. Reads its corpus at once, which takes a few milliseconds.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if an option is; [`Error::EmptyCorpus`] if the corpus holds no sentence.
    pub fn new(options: OfflineOptions) -> Result<Self, Error> {
        options.validate()?;
        let chain = match &options.corpus {
            Some(text) => Chain::new(options.order, &corpus::paragraphs(text)),
            None => Chain::new(options.order, &corpus::built_in()),
        };
        if chain.is_empty() {
            return Err(Error::EmptyCorpus { model: NAME.to_owned() });
        }
        Ok(Self { chain: Arc::new(chain), options: Arc::new(options) })
    }

    /// What there is to say to `request`.
    fn begin(&self, request: &ChatRequest) -> Result<Telling, Error> {
        refuse_tools(request)?;
        if request.messages.is_empty() {
            return Err(Error::NoMessages { model: NAME.to_owned() });
        }
        options::check_stop(&request.stop)?;
        let temperature = request.temperature.unwrap_or(self.options.temperature);
        options::check_temperature(temperature)?;
        let max_tokens = request.max_tokens.unwrap_or(self.options.max_tokens);
        options::check_max_tokens(max_tokens)?;
        let prompt = Prompt::new(request.seed.unwrap_or(self.options.seed), &request.messages);
        let input_tokens = prompt.length();
        let writer = Writer::new(Arc::clone(&self.chain), &prompt, temperature);
        let answer = Answer::new(writer, max_tokens, request.stop.clone());
        Ok(Telling::new(answer, self.options.tokens_per_second, input_tokens))
    }
}

impl Default for OfflineModel {
    fn default() -> Self {
        Self::new(OfflineOptions::default())
            .expect("the default options are legal and the built-in corpus is prose")
    }
}

/// In a module: with the [`OfflineOptions`] that the module sees, or else the default ones.
impl Injectable for OfflineModel {
    fn provider() -> Provider<Self> {
        Provider::try_factory(|options: Option<Arc<OfflineOptions>>| {
            Self::new(options.map(Arc::unwrap_or_clone).unwrap_or_default())
        })
    }
}

impl ChatModel for OfflineModel {
    fn name(&self) -> &str {
        NAME
    }

    fn call(&self, request: ChatRequest) -> ChatStream {
        match self.begin(&request) {
            Ok(telling) => Box::pin(stream::unfold(telling, |mut telling| async move {
                telling.next().await.map(|delta| (Ok(delta), telling))
            })),
            Err(error) => refused(error),
        }
    }
}

/// Words cannot call a function.
fn refuse_tools(request: &ChatRequest) -> Result<(), Error> {
    let refuse = |field, reason| Err(Error::Unsupported { model: NAME.to_owned(), field, reason });
    if !request.tools.is_empty() {
        return refuse("tools", "a Markov chain only continues text");
    }
    for message in &request.messages {
        match message {
            ChatMessage::Tool { .. } => {
                return refuse("messages of role `tool`", "a Markov chain has called no tool");
            }
            ChatMessage::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                return refuse("messages with `tool_calls`", "a Markov chain has called no tool");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

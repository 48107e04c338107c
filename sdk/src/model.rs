//! Language models that the operator set up, for plugins of type `agent`.
//!
//! It takes a permission `model` for each. In a test on the author's machine there are none.
//!
//! ```no_run
//! use stockade_sdk::model::{self, Message, Question};
//!
//! # fn main() -> Result<(), model::ModelError> {
//! let question = Question::to("small").say(Message::User("What is a stockade?".into()));
//! println!("{}", model::ask(&question)?.reply.text);
//! # Ok(())
//! # }
//! ```

use std::fmt;

use crate::ToolError;

/// A function that the model may want called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Letters, digits, `_` and `-`: what endpoints take.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub arguments: String,
}

/// A call that the model wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCall {
    /// The model's name for the call.
    pub id: String,
    /// The function's name, in the model's words.
    pub name: String,
    /// JSON, if the model kept to it.
    pub arguments: String,
}

/// What the model said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// In words.
    pub text: String,
    /// What it wants called, each of which is to be answered by a [`Message::Function`].
    pub calls: Vec<FunctionCall>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Instructions.
    System(String),
    /// A question.
    User(String),
    /// What the model said.
    Assistant(Reply),
    /// What came of a call that it wanted.
    Function {
        /// The model's name for the call.
        id: String,
        /// The result.
        text: String,
    },
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Question {
    /// The operator's name for the model.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// What the model may want called.
    pub functions: Vec<Function>,
    /// The most that it writes; less where the operator or the budget says so.
    pub max_tokens: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f32>,
}

impl Question {
    /// A question to this model, with nothing in it yet.
    pub fn to(model: impl Into<String>) -> Question {
        Question {
            model: model.into(),
            messages: Vec::new(),
            functions: Vec::new(),
            max_tokens: None,
            temperature: None,
        }
    }

    /// Adds a turn.
    pub fn say(mut self, message: Message) -> Question {
        self.messages.push(message);
        self
    }
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it said.
    pub reply: Reply,
    /// Whether it broke off because it was long enough.
    pub cut: bool,
    /// Tokens read; 0 where the endpoint does not say.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Millionths of the operator's currency.
    pub cost: u64,
}

/// What can be used up now: of the running call's budget and of the day's, whichever is less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Questions.
    pub calls: u64,
    /// Tokens, read and written.
    pub tokens: u64,
    /// Millionths of the operator's currency.
    pub cost: u64,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelError {
    /// The plugin's grants do not cover the model.
    Denied(String),
    /// The budget has not enough left; the text says of what.
    Exhausted(String),
    /// The question is none.
    Invalid(String),
    /// The model is not reached, or did not answer in time.
    Unavailable(String),
    /// Its server refused, in its own words.
    Failed(String),
}

impl fmt::Display for ModelError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(out, "{why}"),
            Self::Exhausted(of) => write!(out, "the budget has not enough left: {of}"),
            Self::Invalid(why) => write!(out, "the question to the model: {why}"),
            Self::Unavailable(why) => write!(out, "the model is not to be had: {why}"),
            Self::Failed(why) => write!(out, "the model's server: {why}"),
        }
    }
}

impl std::error::Error for ModelError {}

impl From<ModelError> for ToolError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Denied(why) => Self::Denied(why),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The models that this plugin may ask, by the operator's names.
pub fn models() -> Vec<String> {
    back::models()
}

/// Asks a model, and waits for all of its answer.
///
/// # Errors
/// See [`ModelError`].
pub fn ask(question: &Question) -> Result<Answer, ModelError> {
    back::ask(question)
}

/// What is left.
pub fn left() -> Left {
    back::left()
}

#[cfg(target_family = "wasm")]
mod back {
    use super::{Answer, FunctionCall, Left, Message, ModelError, Question, Reply};
    use crate::delegating::stockade::plugin::model as wit;

    pub(super) fn models() -> Vec<String> {
        wit::list()
    }

    pub(super) fn left() -> Left {
        let wit::Budget { calls, tokens, cost } = wit::left();
        Left { calls, tokens, cost }
    }

    pub(super) fn ask(question: &Question) -> Result<Answer, ModelError> {
        let request = wit::Request {
            model: question.model.clone(),
            messages: question.messages.iter().map(message).collect(),
            functions: question
                .functions
                .iter()
                .map(|function| wit::Function {
                    name: function.name.clone(),
                    description: function.description.clone(),
                    arguments: function.arguments.clone(),
                })
                .collect(),
            max_tokens: question.max_tokens,
            temperature: question.temperature,
        };
        let answer = wit::ask(&request).map_err(|error| match error {
            wit::ModelError::Denied(why) => ModelError::Denied(why),
            wit::ModelError::Exhausted(of) => ModelError::Exhausted(of),
            wit::ModelError::Invalid(why) => ModelError::Invalid(why),
            wit::ModelError::Unavailable(why) => ModelError::Unavailable(why),
            wit::ModelError::Failed(why) => ModelError::Failed(why),
        })?;
        let call = |wit::FunctionCall { id, name, arguments }| FunctionCall { id, name, arguments };
        let wit::Response { reply, cut, input_tokens, output_tokens, cost } = answer;
        let reply = Reply { text: reply.text, calls: reply.calls.into_iter().map(call).collect() };
        Ok(Answer { reply, cut, input_tokens, output_tokens, cost })
    }

    fn message(message: &Message) -> wit::Message {
        match message.clone() {
            Message::System(text) => wit::Message::System(text),
            Message::User(text) => wit::Message::User(text),
            Message::Assistant(Reply { text, calls }) => {
                let call = |FunctionCall { id, name, arguments }| wit::FunctionCall { id, name, arguments };
                wit::Message::Assistant(wit::Reply { text, calls: calls.into_iter().map(call).collect() })
            }
            Message::Function { id, text } => wit::Message::Function(wit::FunctionResult { id, text }),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod back {
    use super::{Answer, Left, ModelError, Question};

    pub(super) fn models() -> Vec<String> {
        Vec::new()
    }

    pub(super) fn left() -> Left {
        Left::default()
    }

    pub(super) fn ask(_: &Question) -> Result<Answer, ModelError> {
        Err(ModelError::Unavailable("there is no host".to_owned()))
    }
}

use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::bounds::{MODEL_FUNCTIONS, MODEL_MESSAGES, MODEL_TEXT, NAME, PAYLOAD};

/// Something that the worker wants another plugin or a model to do. One at a time, as an ask; but what goes and
/// comes has the size of a call's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delegate {
    /// Which tools it may call.
    Tools,
    /// Call a tool of another plugin.
    ToolCall {
        /// `publisher/plugin#tool`.
        name: String,
        /// One JSON text.
        arguments: String,
    },
    /// Ask a model.
    ModelAsk(ModelRequest),
    /// What is left of the budgets.
    Left,
}

/// The host's answer to a [`Delegate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delegated {
    /// Refused by the grants.
    Denied,
    /// A budget has not enough left: of which unit, and of what time.
    Exhausted(String),
    /// It is not to be had: why.
    Unavailable(String),
    /// It is none: why.
    Invalid(String),
    /// It was tried, and failed: why, in the words of whoever tried.
    Failed(String),
    /// The tools.
    Tools(Vec<ToolInfo>),
    /// The result of a tool: one JSON text.
    Returned(String),
    /// A model's answer.
    Answered(ModelResponse),
    /// What is left.
    Left(stockade_policy::Budget),
}

/// A tool that may be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolInfo {
    /// `publisher/plugin#tool`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub arguments: String,
}

/// A question to a model. In all at most [`MODEL_TEXT`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRequest {
    /// The operator's name for the model.
    pub model: String,
    /// At most [`MODEL_MESSAGES`].
    pub messages: Vec<ModelMessage>,
    /// At most [`MODEL_FUNCTIONS`].
    pub functions: Vec<ModelFunction>,
    /// The most that the model writes.
    pub max_tokens: Option<u32>,
    /// Thousandths of the sampling temperature.
    pub temperature: Option<u32>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelMessage {
    /// Instructions.
    System(String),
    /// A question.
    User(String),
    /// What the model said.
    Assistant(ModelReply),
    /// What came of a call that it wanted.
    Function {
        /// The model's name for the call.
        id: String,
        /// The result.
        text: String,
    },
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReply {
    /// In words.
    pub text: String,
    /// The calls that it wants.
    pub calls: Vec<FunctionCall>,
}

/// A call that a model wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The model's name for it.
    pub id: String,
    /// The function's name.
    pub name: String,
    /// JSON, if the model kept to it.
    pub arguments: String,
}

/// A function that the model may want called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFunction {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub arguments: String,
}

/// A model's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelResponse {
    /// What it said.
    pub reply: ModelReply,
    /// Whether it broke off because it was long enough.
    pub cut: bool,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Millionths of the operator's currency.
    pub cost: u64,
}

impl ModelRequest {
    /// Bytes of all its texts: a token is at least one.
    pub fn bytes(&self) -> usize {
        let messages = self.messages.iter().map(ModelMessage::bytes).sum::<usize>();
        let functions = self.functions.iter().map(|f| f.name.len() + f.description.len() + f.arguments.len());
        messages + functions.sum::<usize>()
    }

    /// Messages, and calls in them.
    pub fn turns(&self) -> usize {
        let calls = self.messages.iter().map(|message| match message {
            ModelMessage::Assistant(reply) => reply.calls.len(),
            _ => 0,
        });
        self.messages.len() + calls.sum::<usize>()
    }

    /// Whether it is within every bound.
    pub fn fits(&self) -> bool {
        self.turns() <= MODEL_MESSAGES
            && self.functions.len() <= MODEL_FUNCTIONS
            && self.bytes() <= MODEL_TEXT
    }
}

impl ModelMessage {
    fn bytes(&self) -> usize {
        match self {
            Self::System(text) | Self::User(text) => text.len(),
            Self::Assistant(reply) => reply.bytes(),
            Self::Function { id, text } => id.len() + text.len(),
        }
    }
}

impl ModelReply {
    fn bytes(&self) -> usize {
        let calls = self.calls.iter().map(|call| call.id.len() + call.name.len() + call.arguments.len());
        self.text.len() + calls.sum::<usize>()
    }
}

impl Delegate {
    pub(crate) fn plausible(&self) -> Result<(), Fault> {
        let within = match self {
            Self::Tools | Self::Left => true,
            Self::ToolCall { name, arguments } => name.len() <= NAME && arguments.len() <= PAYLOAD,
            Self::ModelAsk(request) => request.model.len() <= NAME && request.fits(),
        };
        if within { Ok(()) } else { Err(Fault::Implausible("more to delegate than one may")) }
    }
}

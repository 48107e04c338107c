//! Language models behind endpoints that speak as OpenAI's chat completions. What goes to an endpoint is written
//! here, field by field: a plugin cannot turn on anything that an endpoint would do besides.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stockade_ipc::bounds::MODEL_RESPONSE;
use stockade_ipc::{FunctionCall, HttpFault, ModelMessage, ModelReply, ModelRequest};
use stockade_policy::{Budget, HttpError, HttpTarget, Unit};

use crate::egress::{self, Content, Order, Reach};
use crate::secret::{SecretError, SecretSource, Secrets};

/// What prices are for: a million tokens.
const MILLION: u128 = 1_000_000;
/// What a model writes at most, where nobody says otherwise.
const MAX_OUTPUT: u32 = 4096;
/// Tokens that a server may put around each message, function and call, and around the whole.
const AROUND: u64 = 16;
/// To connect, for the first byte of the answer, between any two.
const PATIENCE: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(600), Duration::from_secs(60)];
/// Longest complaint of a server that is passed on.
const COMPLAINT: usize = 1024;

/// A model that plugins may be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Model {
    target: HttpTarget,
    name: String,
    key: Option<SecretSource>,
    prices: [u64; 2],
    max_output: u32,
    limit: OutputLimit,
}

/// The field of a request that says how much a model writes at most. Endpoints differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// `max_tokens`: almost all of them.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's own, for its newer models.
    MaxCompletionTokens,
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a URL of an endpoint.
    #[error("{0:?} is no endpoint: https://HOST[:PORT][/PATH]")]
    Endpoint(String),
    /// Parts of it are none.
    #[error("the endpoint")]
    Target(#[from] HttpError),
    /// Its name at the endpoint is empty or too long.
    #[error("the model's name at its endpoint has to be 1 to 256 characters")]
    Name,
    /// It would write nothing.
    #[error("a model has to be allowed one token of output at least")]
    Output,
    /// Its key is not to be had.
    #[error("the key of its endpoint")]
    Key(#[from] SecretError),
    /// It is granted, and nobody set it up.
    #[error("it is granted and was not set up")]
    Missing,
}

impl Model {
    /// The model that its endpoint calls `name`. `endpoint` is the URL that has `/chat/completions` below it, as
    /// `https://api.example.org/v1`. Addresses that are closed to plugins are open to it: the operator chose it.
    ///
    /// # Errors
    /// Where that is no endpoint.
    pub fn at(endpoint: &str, name: impl Into<String>) -> Result<Model, ModelError> {
        let (scheme, authority, path) =
            egress::parts(endpoint).ok_or_else(|| ModelError::Endpoint(endpoint.to_owned()))?;
        if path.contains('?') {
            return Err(ModelError::Endpoint(endpoint.to_owned()));
        }
        let path = match path.trim_end_matches('/') {
            "" => "/chat/completions".to_owned(),
            path => format!("/{path}/chat/completions"),
        };
        let name = name.into();
        if !(1..=256).contains(&name.len()) {
            return Err(ModelError::Name);
        }
        let target = HttpTarget::parse("POST", scheme, authority, &path)?;
        let limit = OutputLimit::default();
        Ok(Model { target, name, key: None, prices: [0, 0], max_output: MAX_OUTPUT, limit })
    }

    /// Where the key of the endpoint is read from, when a plugin is loaded that was granted the model.
    pub fn key(mut self, source: SecretSource) -> Self {
        self.key = Some(source);
        self
    }

    /// What a million tokens cost that the model reads, and that it writes: in millionths of a currency, the same
    /// for all models.
    pub const fn prices(mut self, input: u64, output: u64) -> Self {
        self.prices = [input, output];
        self
    }

    /// How many tokens it writes at most in one answer; 4096 if not said.
    ///
    /// # Errors
    /// Where that is none.
    pub fn max_output_tokens(mut self, most: u32) -> Result<Self, ModelError> {
        if most == 0 {
            return Err(ModelError::Output);
        }
        self.max_output = most;
        Ok(self)
    }

    /// How its endpoint is told that.
    pub const fn output_limit(mut self, field: OutputLimit) -> Self {
        self.limit = field;
        self
    }

    /// Reads its key.
    pub(crate) fn ready(&self) -> Result<Ready, ModelError> {
        let key = self.key.as_ref().map(SecretSource::read).transpose()?;
        let authorization = key
            .as_ref()
            .map(|key| {
                let mut value = HeaderValue::try_from([b"Bearer ", key.bytes()].concat())
                    .map_err(|_| SecretError::Unusable)?;
                value.set_sensitive(true);
                Ok::<_, SecretError>(value)
            })
            .transpose()?;
        Ok(Ready { model: self.clone(), authorization, masked: Secrets::to_mask(key) })
    }

    /// What so many tokens cost, rounded up.
    fn cost(&self, input: u64, output: u64) -> u64 {
        let [read, written] = self.prices;
        let exact = u128::from(input) * u128::from(read) + u128::from(output) * u128::from(written);
        u64::try_from(exact.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

/// A model whose key is read.
pub(crate) struct Ready {
    model: Model,
    authorization: Option<HeaderValue>,
    masked: Secrets,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.model.fmt(f)
    }
}

/// A question, and what it can come to at most.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) most: Budget,
    max_output: u32,
}

/// What came of a question: what it came to, and what there is to tell.
pub(crate) struct Reckoned {
    pub(crate) came_to: Budget,
    pub(crate) said: Said,
}

/// What a server said.
pub(crate) enum Said {
    Answer { reply: ModelReply, cut: bool, input_tokens: u64, output_tokens: u64 },
    Failed(String),
}

impl Ready {
    /// What a question can come to at most, within what is left; the unit that there is too little of, where
    /// nothing could be answered.
    pub(crate) fn question(&self, request: &ModelRequest, left: Budget) -> Result<Question, Unit> {
        // A token is at least a byte of text.
        let parts = request.turns() + request.functions.len();
        let input = request.bytes() as u64 + (parts as u64 + 1) * AROUND;
        let wanted = request.max_tokens.unwrap_or(u32::MAX).min(self.model.max_output);
        let by_tokens = left.tokens.saturating_sub(input);
        let [read, written] = self.model.prices.map(u128::from);
        let money = (u128::from(left.cost) * MILLION).checked_sub(u128::from(input) * read);
        let by_cost = match (money, written) {
            (None, _) => 0,
            (Some(_), 0) => u64::MAX,
            (Some(money), written) => u64::try_from(money / written).unwrap_or(u64::MAX),
        };
        let max_output = u64::from(wanted).min(by_tokens).min(by_cost) as u32;
        if left.model_calls == 0 {
            return Err(Unit::ModelCalls);
        }
        if max_output == 0 {
            return Err(if by_tokens == 0 { Unit::Tokens } else { Unit::Cost });
        }
        let most = Budget {
            model_calls: 1,
            tokens: input + u64::from(max_output),
            cost: self.model.cost(input, u64::from(max_output)),
            ..Budget::default()
        };
        Ok(Question { most, max_output })
    }

    /// The request that asks it; why not, where it is none.
    pub(crate) fn order(&self, request: &ModelRequest, question: &Question) -> Result<Order, String> {
        let functions = request.functions.iter().map(|function| {
            let parameters: Json = serde_json::from_str(&function.arguments)
                .map_err(|error| format!("the schema of {:?} is not JSON: {error}", function.name))?;
            let function = Function {
                name: &function.name,
                description: Some(&function.description),
                parameters: Some(parameters),
                arguments: None,
            };
            Ok(Tool { kind: "function", id: None, function })
        });
        let max = Some(question.max_output);
        let body = Body {
            model: &self.model.name,
            messages: request.messages.iter().map(Message::from).collect(),
            tools: functions.collect::<Result<_, String>>()?,
            max_tokens: max.filter(|_| self.model.limit == OutputLimit::MaxTokens),
            max_completion_tokens: max.filter(|_| self.model.limit == OutputLimit::MaxCompletionTokens),
            temperature: request.temperature.map(|thousandths| f64::from(thousandths) / 1000.0),
            stream: false,
        };
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        let mut fields = HeaderMap::new();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = &self.authorization {
            fields.insert(header::AUTHORIZATION, authorization.clone());
        }
        let everywhere = ["0.0.0.0/0", "::/0"].map(|range| range.parse::<IpNet>().expect("a range"));
        let reach = Reach {
            opened: everywhere.into(),
            request_bytes: body.len() as u64,
            response_bytes: MODEL_RESPONSE as u64,
        };
        Ok(Order {
            target: self.model.target.clone(),
            fields,
            body: Content::Whole(Bytes::from(body)),
            patience: PATIENCE,
            reach,
            secrets: None,
        })
    }

    /// Reads what came back. What a server does not say is reckoned at the most that it can be.
    pub(crate) fn reckon(&self, question: &Question, status: u16, mut body: Vec<u8>) -> Reckoned {
        self.masked.mask(&mut body);
        if status != 200 {
            // Nobody bills for what he refused.
            let complaint = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error.message);
            let complaint: String =
                complaint.unwrap_or_default().chars().filter(|c| !c.is_control()).take(COMPLAINT).collect();
            let said = Said::Failed(format!("status {status}: {complaint}"));
            return Reckoned { came_to: Budget { model_calls: 1, ..Budget::default() }, said };
        }
        let completion: Option<Completion> = serde_json::from_slice(&body).ok();
        let usage = completion.as_ref().and_then(|completion| completion.usage);
        let came_to = match usage {
            None => question.most,
            Some(Usage { prompt_tokens, completion_tokens }) => Budget {
                model_calls: 1,
                tokens: prompt_tokens.saturating_add(completion_tokens),
                cost: self.model.cost(prompt_tokens, completion_tokens),
                ..Budget::default()
            },
        };
        let choice = completion.and_then(|completion| completion.choices.into_iter().next());
        let said = match choice {
            None => Said::Failed("the endpoint answered with something else than a completion".to_owned()),
            Some(Choice { message, finish_reason }) => {
                let call = |wanted: Wanted| FunctionCall {
                    id: wanted.id,
                    name: wanted.function.name,
                    arguments: wanted.function.arguments,
                };
                let calls = message.tool_calls.unwrap_or_default().into_iter().map(call).collect();
                let Usage { prompt_tokens, completion_tokens } = usage.unwrap_or_default();
                Said::Answer {
                    reply: ModelReply { text: message.content.unwrap_or_default(), calls },
                    cut: finish_reason.as_deref() == Some("length"),
                    input_tokens: prompt_tokens,
                    output_tokens: completion_tokens,
                }
            }
        };
        Reckoned { came_to, said }
    }
}

/// Whether a request that failed so never reached the endpoint: nobody bills for it.
pub(crate) const fn never_asked(fault: HttpFault) -> bool {
    use HttpFault as F;
    matches!(
        fault,
        F::DnsTimeout
            | F::DnsError
            | F::AddressProhibited
            | F::Unreachable
            | F::Refused
            | F::ConnectTimeout
            | F::TlsProtocol
            | F::TlsCertificate
            | F::TlsAlert
    )
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// A function that may be called, or a call of one.
#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
}

impl<'a> From<&'a ModelMessage> for Message<'a> {
    fn from(message: &'a ModelMessage) -> Self {
        let plain = |role, content| Message {
            role,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        };
        match message {
            ModelMessage::System(text) => plain("system", text),
            ModelMessage::User(text) => plain("user", text),
            ModelMessage::Function { id, text } => Message { tool_call_id: Some(id), ..plain("tool", text) },
            ModelMessage::Assistant(ModelReply { text, calls }) => {
                let call = |call: &'a FunctionCall| Tool {
                    kind: "function",
                    id: Some(&call.id),
                    function: Function {
                        name: &call.name,
                        description: None,
                        parameters: None,
                        arguments: Some(&call.arguments),
                    },
                };
                // Endpoints want no text rather than an empty one beside calls.
                let content = Some(text.as_str()).filter(|text| !text.is_empty() || calls.is_empty());
                Message { content, tool_calls: calls.iter().map(call).collect(), ..plain("assistant", "") }
            }
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Answered,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Answered {
    content: Option<String>,
    tool_calls: Option<Vec<Wanted>>,
}

#[derive(Deserialize)]
struct Wanted {
    id: String,
    function: WantedFunction,
}

#[derive(Deserialize)]
struct WantedFunction {
    name: String,
    arguments: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Deserialize)]
struct Refusal {
    error: Complaint,
}

#[derive(Deserialize)]
struct Complaint {
    message: String,
}

//! `stockade:plugin/model`: language models that the operator set up.

use stockade_ipc::bounds::{MODEL_FUNCTIONS, MODEL_MESSAGES, MODEL_TEXT, NAME};
use stockade_ipc::{Delegate, Delegated, ModelFunction, ModelMessage, ModelReply, ModelRequest};
use stockade_policy::Ask;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

use crate::state::{Cx, State};

#[derive(ComponentType, Lift)]
#[component(record)]
struct Function {
    name: String,
    description: String,
    arguments: String,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct FunctionCall {
    id: String,
    name: String,
    arguments: String,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Reply {
    text: String,
    calls: Vec<FunctionCall>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct FunctionResult {
    id: String,
    text: String,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
enum Message {
    #[component(name = "system")]
    System(String),
    #[component(name = "user")]
    User(String),
    #[component(name = "assistant")]
    Assistant(Reply),
    #[component(name = "function")]
    Function(FunctionResult),
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Request {
    model: String,
    messages: Vec<Message>,
    functions: Vec<Function>,
    #[component(name = "max-tokens")]
    max_tokens: Option<u32>,
    temperature: Option<f32>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Response {
    reply: Reply,
    cut: bool,
    #[component(name = "input-tokens")]
    input_tokens: u64,
    #[component(name = "output-tokens")]
    output_tokens: u64,
    cost: u64,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum ModelError {
    #[component(name = "denied")]
    Denied(String),
    #[component(name = "exhausted")]
    Exhausted(String),
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "unavailable")]
    Unavailable(String),
    #[component(name = "failed")]
    Failed(String),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Budget {
    calls: u64,
    tokens: u64,
    cost: u64,
}

pub(crate) fn link(name: &str, at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<bool> {
    match name {
        "list" => at.func_wrap(name, |cx: Cx<'_>, ()| {
            Ok((cx.data().grants.models().map(str::to_owned).collect::<Vec<_>>(),))
        })?,
        "ask" => {
            at.func_wrap(name, |mut cx: Cx<'_>, (request,): (Request,)| Ok((ask(cx.data_mut(), request),)))?
        }
        "left" => at.func_wrap(name, |mut cx: Cx<'_>, ()| {
            let stockade_policy::Budget { model_calls, tokens, cost, .. } = cx.data_mut().left();
            Ok((Budget { calls: model_calls, tokens, cost },))
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn ask(state: &mut State, request: Request) -> Result<Response, ModelError> {
    let request = wanted(request).map_err(ModelError::Invalid)?;
    state.decide(&Ask::Model { name: &request.model }).map_err(ModelError::Denied)?;
    match state.delegate(Delegate::ModelAsk(request)) {
        Delegated::Answered(answer) => Ok(Response {
            reply: answer.reply.into(),
            cut: answer.cut,
            input_tokens: answer.input_tokens,
            output_tokens: answer.output_tokens,
            cost: answer.cost,
        }),
        Delegated::Exhausted(of) => Err(ModelError::Exhausted(of)),
        Delegated::Invalid(why) => Err(ModelError::Invalid(why)),
        Delegated::Unavailable(why) => Err(ModelError::Unavailable(why)),
        Delegated::Failed(why) => Err(ModelError::Failed(why)),
        _ => Err(ModelError::Denied("the host refused it".to_owned())),
    }
}

/// A request within every bound.
fn wanted(request: Request) -> Result<ModelRequest, String> {
    let temperature = match request.temperature {
        // In thousandths: what is compared and encoded is a whole number.
        Some(warmth @ 0.0..=2.0) => Some((warmth * 1000.0).round() as u32),
        Some(_) => return Err("a temperature is a number from 0 to 2".to_owned()),
        None => None,
    };
    let function = |Function { name, description, arguments }| ModelFunction { name, description, arguments };
    let request = ModelRequest {
        model: request.model,
        messages: request.messages.into_iter().map(ModelMessage::from).collect(),
        functions: request.functions.into_iter().map(function).collect(),
        max_tokens: request.max_tokens,
        temperature,
    };
    if request.model.len() > NAME || !request.fits() {
        return Err(format!(
            "at most {MODEL_MESSAGES} messages and calls, {MODEL_FUNCTIONS} functions, and {MODEL_TEXT} bytes in all"
        ));
    }
    Ok(request)
}

impl From<Message> for ModelMessage {
    fn from(message: Message) -> Self {
        match message {
            Message::System(text) => Self::System(text),
            Message::User(text) => Self::User(text),
            Message::Assistant(Reply { text, calls }) => {
                let call =
                    |FunctionCall { id, name, arguments }| stockade_ipc::FunctionCall { id, name, arguments };
                Self::Assistant(ModelReply { text, calls: calls.into_iter().map(call).collect() })
            }
            Message::Function(FunctionResult { id, text }) => Self::Function { id, text },
        }
    }
}

impl From<ModelReply> for Reply {
    fn from(ModelReply { text, calls }: ModelReply) -> Self {
        let call = |stockade_ipc::FunctionCall { id, name, arguments }| FunctionCall { id, name, arguments };
        Self { text, calls: calls.into_iter().map(call).collect() }
    }
}

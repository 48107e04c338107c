//! What a component asks of `stockade:plugin/tools` and `stockade:plugin/model`.

wit_bindgen::generate!({ path: ["../../../../wit", "wit"], world: "guests:agent-tour/agent-tour", generate_all });

use stockade::plugin::model::{
    self, Function, FunctionResult, Message, ModelError, Request, Response,
};
use stockade::plugin::tools::{self as others, CallError};

struct Tour;

fn told(error: CallError) -> String {
    match error {
        CallError::Denied(why) => format!("denied: {why}"),
        CallError::Exhausted(of) => format!("exhausted: {of}"),
        CallError::Unavailable(why) => format!("unavailable: {why}"),
        CallError::InvalidArguments(why) => format!("invalid: {why}"),
        CallError::Failed(why) => format!("failed: {why}"),
    }
}

fn said(error: ModelError) -> String {
    match error {
        ModelError::Denied(why) => format!("denied: {why}"),
        ModelError::Exhausted(of) => format!("exhausted: {of}"),
        ModelError::Invalid(why) => format!("invalid: {why}"),
        ModelError::Unavailable(why) => format!("unavailable: {why}"),
        ModelError::Failed(why) => format!("failed: {why}"),
    }
}

fn question(model: String, messages: Vec<Message>) -> Request {
    Request { model, messages, functions: Vec::new(), max_tokens: None, temperature: None }
}

impl Guest for Tour {
    fn tools() -> Vec<(String, String, String)> {
        others::list().into_iter().map(|tool| (tool.name, tool.description, tool.arguments)).collect()
    }

    fn call(name: String, arguments: String) -> Result<String, String> {
        others::call(&name, &arguments).map_err(told)
    }

    fn calls(name: String, arguments: String, times: u32) -> u32 {
        (0..times).map(|_| u32::from(others::call(&name, &arguments).is_ok())).sum()
    }

    fn left() -> (u64, u64, u64, u64) {
        let left = model::left();
        (others::left(), left.calls, left.tokens, left.cost)
    }

    fn models() -> Vec<String> {
        model::list()
    }

    fn ask(
        model: String,
        text: String,
        max_tokens: Option<u32>,
    ) -> Result<(String, bool, u64, u64, u64), String> {
        let request = Request { max_tokens, ..question(model, vec![Message::User(text)]) };
        let Response { reply, cut, input_tokens, output_tokens, cost } = model::ask(&request).map_err(said)?;
        Ok((reply.text, cut, input_tokens, output_tokens, cost))
    }

    fn talk(model: String, text: String) -> Result<String, String> {
        let tools = others::list();
        let function = |(number, tool): (usize, &others::Tool)| Function {
            name: format!("tool_{number}"),
            description: tool.description.clone(),
            arguments: tool.arguments.clone(),
        };
        let mut request = question(model, vec![Message::System("be brief".into()), Message::User(text)]);
        request.functions = tools.iter().enumerate().map(function).collect();
        for _ in 0..8 {
            let reply = model::ask(&request).map_err(said)?.reply;
            if reply.calls.is_empty() {
                return Ok(reply.text);
            }
            request.messages.push(Message::Assistant(reply.clone()));
            for wanted in reply.calls {
                let number = wanted.name.strip_prefix("tool_").and_then(|number| number.parse::<usize>().ok());
                let text = match number.and_then(|number| tools.get(number)) {
                    Some(tool) => others::call(&tool.name, &wanted.arguments).unwrap_or_else(told),
                    None => "no such tool".to_owned(),
                };
                request.messages.push(Message::Function(FunctionResult { id: wanted.id, text }));
            }
        }
        Err("it did not come to an end".to_owned())
    }

    fn odd(model: String, schema: String, temperature: f32, messages: u32) -> Result<String, String> {
        let text = |_| Message::User("say odd".to_owned());
        let mut request = question(model, (0..messages).map(text).collect());
        request.temperature = Some(temperature);
        request.functions =
            vec![Function { name: "f".into(), description: "does".into(), arguments: schema }];
        model::ask(&request).map(|answer| answer.reply.text).map_err(said)
    }
}

export!(Tour);

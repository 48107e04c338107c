use serde_json::{Value, json};

use crate::args::Tools;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};
use crate::run;

/// `stockade tools`.
pub(crate) fn run(arguments: Tools) -> Result<Exit, Failure> {
    let (host, plugins) = run::load(&arguments.loading, &arguments.places)?;
    let plugin = &plugins[0];
    match arguments.output.format {
        Format::Json => {
            let tools: Vec<Value> = plugin
                .tools()
                .iter()
                .map(|tool| {
                    json!({
                        "name": tool.name, "description": tool.description,
                        "input": tool.input, "output": tool.output,
                    })
                })
                .collect();
            output::document(&json!({ "schema": SCHEMA, "plugin": plugin.name(), "tools": tools }));
        }
        Format::Text => {
            for tool in plugin.tools() {
                output::line(&format!("{}\n  {}", safe(&tool.name), safe(&tool.description)));
                output::line(&format!("  input: {}", output::json(&tool.input.to_string())));
                if let Some(schema) = &tool.output {
                    output::line(&format!("  output: {}", output::json(&schema.to_string())));
                }
            }
        }
    }
    host.stop_blocking();
    Ok(Exit::Ok)
}

use serde_json::json;
use stockade_control::{PluginTools, ToolInfo};

use crate::args::Tools;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};
use crate::{control, run};

/// `stockade tools`.
pub(crate) fn run(arguments: Tools) -> Result<Exit, Failure> {
    let PluginTools { plugin, tools } =
        match control::tools(&arguments.loading.setup.plugin, &arguments.places)? {
            Some(known) => known,
            None => loaded(&arguments)?,
        };
    match arguments.output.format {
        Format::Json => {
            output::document(&json!({ "schema": SCHEMA, "plugin": plugin, "tools": tools }));
        }
        Format::Text => {
            for tool in &tools {
                output::line(&format!("{}\n  {}", safe(&tool.name), safe(&tool.description)));
                output::line(&format!("  input: {}", output::json(&tool.input.to_string())));
                if let Some(schema) = &tool.output {
                    output::line(&format!("  output: {}", output::json(&schema.to_string())));
                }
            }
        }
    }
    Ok(Exit::Ok)
}

/// The tools of a plugin that is loaded for that.
fn loaded(arguments: &Tools) -> Result<PluginTools, Failure> {
    let (host, plugins) = run::load(&arguments.loading, &arguments.places, false)?;
    let plugin = &plugins[0];
    let tools = plugin.tools().iter().map(ToolInfo::from);
    let known = PluginTools { plugin: plugin.name().to_owned(), tools: tools.collect() };
    host.stop_blocking();
    Ok(known)
}

use std::collections::BTreeMap;

use stockade_sdk::agent::Tool;
use stockade_sdk::model::Function;

/// Longest name of a function that endpoints take.
const LONGEST: usize = 64;

/// The granted tools under names that a model can say.
#[derive(Debug, Default)]
pub struct Functions {
    tools: BTreeMap<String, Tool>,
}

impl Functions {
    /// Names each tool: `publisher/plugin#tool` is `plugin_tool`, with a number behind it where that is taken.
    pub fn new(tools: Vec<Tool>) -> Functions {
        let mut named = BTreeMap::new();
        for tool in tools {
            let short = tool.name.split_once('/').map_or(tool.name.as_str(), |(_, rest)| rest);
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let name: String = short.chars().map(plain).take(LONGEST - 4).collect();
            let free = (2..).map(|number| format!("{name}_{number}"));
            let free = std::iter::once(name.clone()).chain(free).find(|name| !named.contains_key(name));
            named.extend(free.map(|name| (name, tool)));
        }
        Functions { tools: named }
    }

    /// What the model is told.
    pub fn told(&self) -> Vec<Function> {
        let function = |(name, tool): (&String, &Tool)| Function {
            name: name.clone(),
            description: tool.description.clone(),
            arguments: tool.arguments.clone(),
        };
        self.tools.iter().map(function).collect()
    }

    /// The tool behind a name.
    pub fn tool(&self, name: &str) -> Option<&str> {
        self.tools.get(name).map(|tool| tool.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_name_of_its_own_that_endpoints_take() {
        let tool = |name: &str| Tool { name: name.into(), description: "d".into(), arguments: "{}".into() };
        let long = format!("a/{}#t", "x".repeat(100));
        let names =
            ["stockade/secret-scan#scan", "other/secret-scan#scan", "a/b_c#d", "a/b#c_d", &long, &long];
        let functions = Functions::new(names.into_iter().map(tool).collect());
        assert_eq!(functions.tool("secret-scan_scan"), Some("stockade/secret-scan#scan"));
        assert_eq!(functions.tool("secret-scan_scan_2"), Some("other/secret-scan#scan"));
        assert_eq!(functions.tool("nothing"), None);
        let told = functions.told();
        assert_eq!(told.len(), names.len());
        for function in told {
            assert!(function.name.len() <= LONGEST, "{}", function.name);
            assert!(function.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        }
    }
}

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::ToolError;

/// The tools of a plugin, one call at a time. [`tools!`](crate::tools) writes this for you.
pub trait Tools {
    /// Runs the tool `name`.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] for a name that the plugin does not know; else what the tool says.
    fn call(name: &str, arguments: Value) -> Result<Value, ToolError>;
}

/// Runs one typed tool on untyped arguments. An error names the argument at fault.
///
/// # Errors
/// [`ToolError::InvalidArguments`] where the arguments do not fit `A`; else what the tool says.
pub fn run<A: DeserializeOwned, R: Serialize>(
    tool: impl FnOnce(A) -> Result<R, ToolError>,
    arguments: Value,
) -> Result<Value, ToolError> {
    let arguments = serde_path_to_error::deserialize(arguments)
        .map_err(|error| ToolError::InvalidArguments(error.to_string()))?;
    serde_json::to_value(tool(arguments)?)
        .map_err(|error| ToolError::Failed(format!("the result has no JSON form: {error}")))
}

/// One call in the contract's own terms: JSON text in, JSON text out.
#[doc(hidden)]
pub fn dispatch<T: Tools>(name: &str, arguments: &str) -> Result<String, ToolError> {
    let arguments = serde_json::from_str(arguments)
        .map_err(|error| ToolError::InvalidArguments(format!("not JSON: {error}")))?;
    T::call(name, arguments).map(|result| result.to_string())
}

/// Exports tools by name. Each is a function from its arguments (`Deserialize`) to a
/// `Result<impl Serialize, ToolError>`.
#[macro_export]
macro_rules! tools {
    ($($name:literal => $tool:path),+ $(,)?) => {
        struct StockadeTools;

        impl $crate::Tools for StockadeTools {
            fn call(name: &str, arguments: $crate::Value) -> Result<$crate::Value, $crate::ToolError> {
                match name {
                    $($name => $crate::run($tool, arguments),)+
                    other => Err($crate::ToolError::UnknownTool(other.to_owned())),
                }
            }
        }

        $crate::export!(StockadeTools);
    };
}

/// Exports a type that implements [`Tools`] as the plugin.
#[macro_export]
macro_rules! export {
    ($tools:ident) => {
        const _: () = {
            struct Exported;

            impl $crate::bindings::exports::stockade::plugin::tool::Guest for Exported {
                fn call(
                    name: String,
                    arguments: String,
                ) -> Result<String, $crate::bindings::exports::stockade::plugin::tool::ToolError> {
                    $crate::dispatch::<$tools>(&name, &arguments).map_err(Into::into)
                }
            }

            // The names of exports are no symbols that a host's linker takes; tests on the host
            // call the tools themselves.
            #[cfg(target_family = "wasm")]
    $crate::bindings::export_world!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: *const () =
                <Exported as $crate::bindings::exports::stockade::plugin::tool::Guest>::call as *const ();
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Add {
        terms: Vec<u32>,
    }

    struct Sums;

    impl Tools for Sums {
        fn call(name: &str, arguments: Value) -> Result<Value, ToolError> {
            match name {
                "add" => run(|add: Add| Ok(add.terms.iter().sum::<u32>()), arguments),
                other => Err(ToolError::UnknownTool(other.to_owned())),
            }
        }
    }

    #[test]
    fn a_call_goes_from_text_to_text() {
        assert_eq!(dispatch::<Sums>("add", r#"{"terms":[1,2]}"#).as_deref(), Ok("3"));
    }

    #[test]
    fn an_argument_of_the_wrong_type_is_named() {
        let error = dispatch::<Sums>("add", r#"{"terms":[1,"two"]}"#).unwrap_err();
        assert!(matches!(&error, ToolError::InvalidArguments(why) if why.starts_with("terms[1]")), "{error}");
    }

    #[test]
    fn an_unknown_tool_is_named() {
        assert_eq!(dispatch::<Sums>("sub", "{}"), Err(ToolError::UnknownTool("sub".into())));
    }
}

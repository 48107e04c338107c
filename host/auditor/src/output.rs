//! Everything that is printed for people goes through [`safe`], every JSON text through [`json`]: fields of
//! records are hostile text, and none reaches a terminal unescaped.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;

use serde_json::{Value, json as object};
use stockade_audit::escape_for_terminal;

use crate::error::AuditorError;

/// For whom to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: JSON documents, one a line, each with a `schema`.
    Json,
}

/// The version of every JSON document that is printed.
pub const SCHEMA: u32 = 1;

/// A text by somebody else, as it may be printed.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    escape_for_terminal(text)
}

/// The same, for a JSON text: another spelling of the same value, in one line, which a terminal survives.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    // A backslash stays: within a string it begins an escape, and outside of one there is none.
    let stays =
        |c: char| c == '\\' || matches!(escape_for_terminal(c.encode_utf8(&mut [0; 4])), Cow::Borrowed(_));
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) || text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        match c {
            c if stays(c) => out.push(c),
            // Within a string these cannot stand raw; outside of one they are white space.
            '\n' | '\r' | '\t' => out.push(' '),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(out)
}

/// Writes a line.
pub(crate) fn line(out: &mut dyn Write, text: &str) -> Result<(), AuditorError> {
    out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(AuditorError::Output)
}

/// Writes a document in one line.
pub(crate) fn document(out: &mut dyn Write, value: &Value) -> Result<(), AuditorError> {
    line(out, &json(&value.to_string()))
}

/// An error for people, or for programs.
pub fn failure(error: &AuditorError, format: Format) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        // Writing to a string does not fail.
        let _ = write!(message, ": {source}");
        cause = source.source();
    }
    match format {
        Format::Text => {
            let mut text = format!("error[{}]: {}", error.code(), safe(&message));
            if !error.field().is_empty() {
                let _ = write!(text, "\n  at: {}", error.field());
            }
            let _ = write!(text, "\n  next: {}", error.next_step());
            text
        }
        Format::Json => json(
            &object!({ "schema": SCHEMA, "error": {
                "code": error.code(), "field": error.field(), "message": message, "next_step": error.next_step(),
            }})
            .to_string(),
        )
        .into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f2_hazards_in_json_become_escapes_of_the_same_value() {
        let hostile = "{\"a\u{9b}\u{202e}\": \"\u{e0001}\\u001b\\\\\"}";
        let safe = json(hostile);
        assert_eq!(safe, r#"{"a\u009b\u202e": "\udb40\udc01\u001b\\"}"#);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&safe), read(hostile));
        assert!(matches!(json(r#"{"größe":"-1","path":"C:\\x"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn f2_an_error_about_hostile_text_is_escaped_in_both_forms() {
        let error =
            AuditorError::Value { field: "--since", value: "\u{1b}[2J\u{202e}\n".into(), expected: "a time" };
        for format in [Format::Text, Format::Json] {
            let text = failure(&error, format);
            assert!(
                text.lines().all(|line| line.chars().all(|c| !c.is_control() && c != '\u{202e}')),
                "{text}"
            );
        }
    }
}

//! Everything that is printed goes through here. Names, messages, results and records are hostile text:
//! none reaches a terminal unescaped.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::de::IgnoredAny;
use serde_json::Value;
use stockade_audit::escape_for_terminal;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// For whom to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON document on standard output, or one a line where there are many.
    Json,
}

impl From<stockade_auditor::Format> for Format {
    fn from(format: stockade_auditor::Format) -> Format {
        match format {
            stockade_auditor::Format::Text => Format::Text,
            stockade_auditor::Format::Json => Format::Json,
        }
    }
}

/// The version of every JSON document that this program prints.
pub(crate) const SCHEMA: u32 = 1;

/// Prints a line on standard output. Whoever closed it does not want it: that is no error.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints a line on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a document.
pub(crate) fn document(value: &Value) {
    line(&json(&value.to_string()));
}

/// Seconds since 1970, in UTC.
pub(crate) fn date(seconds: u64) -> String {
    let time =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| seconds.to_string())
}

/// A text by somebody else, as it may be printed.
pub(crate) fn safe(text: &str) -> String {
    escape_for_terminal(text).into_owned()
}

/// The same, for a JSON text: another spelling of the same value, which a terminal survives.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        match c {
            // Within a string these are escaped already; outside of one they are white space.
            '\n' | '\\' => safe.push(c),
            '\t' | '\r' => safe.push(' '),
            c if escape_for_terminal(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() => safe.push(c),
            c => {
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            }
        }
    }
    safe
}

/// Whether a text is one JSON value.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazards_in_json_become_escapes_of_the_same_value() {
        let hostile = "{\"a\u{9b}\u{202e}\": \"\u{e0001}\\u001b\\\\\"}";
        let safe = json(hostile);
        assert_eq!(safe, r#"{"a\u009b\u202e": "\udb40\udc01\u001b\\"}"#);
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(read(&safe), read(hostile));
    }

    #[test]
    fn json_outside_of_strings_keeps_its_lines() {
        assert_eq!(json("{\n\t\"a\": 1\r\n}"), "{\n \"a\": 1 \n}");
    }

    #[test]
    fn plain_json_stays_as_it_is() {
        let text = r#"{"größe":"-1","path":"C:\\x","n":18446744073709551615}"#;
        assert_eq!(json(text), text);
    }

    #[test]
    fn texts_after_json_are_not_json() {
        assert!(is_json("[1]"));
        assert!(!is_json("[1] x") && !is_json("") && !is_json("nan"));
    }
}

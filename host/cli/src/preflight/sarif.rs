//! SARIF 2.1.0, of which code scanning reads what is here:
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};
use stockade_package::{CODES, Finding, HOST_VERSION};

use super::Looked;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn document(looked: &[Looked]) -> Value {
    // The rules that are used, in the order of the checks.
    let is_used = |code: &str| {
        looked.iter().flat_map(|looked| &looked.report.findings).any(|finding| finding.problem.code == code)
    };
    let rules: Vec<_> = CODES.iter().filter(|(code, _)| is_used(code)).collect();
    let results: Vec<Value> = looked
        .iter()
        .flat_map(|looked| {
            let uri = reference(&looked.found.file());
            let place = move |finding| (uri.clone(), finding, looked.position(finding).unwrap_or((1, 1)));
            looked.report.findings.iter().map(place)
        })
        .map(|(uri, finding, place)| {
            let rule = rules.iter().position(|(code, _)| *code == finding.problem.code);
            result((&uri, place), finding, rule)
        })
        .collect();
    let rules: Vec<_> = rules
        .iter()
        .map(|(code, check)| {
            json!({ "id": code, "shortDescription": { "text": code }, "properties": { "check": check.as_str() } })
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "stockade", "semanticVersion": HOST_VERSION, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result((uri, (line, column)): (&str, (usize, usize)), finding: &Finding, rule: Option<usize>) -> Value {
    let level = finding.severity.as_str();
    let problem = &finding.problem;
    let region = json!({ "startLine": line, "startColumn": column });
    json!({
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": format!("{}\nNext: {}", problem.message, problem.next_step) },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri }, "region": region } }],
        "properties": { "check": finding.check.as_str(), "field": problem.field },
    })
}

/// A path as a URI reference, below the current folder where it is there.
fn reference(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(&here).or_else(|_| path.strip_prefix(".")).unwrap_or(path);
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(byte.into())
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_references_of_any_bytes() {
        assert_eq!(reference(Path::new("./a b/plugin.toml")), "a%20b/plugin.toml");
        assert_eq!(reference(Path::new("/x/ä:%")), "file:///x/%C3%A4%3A%25");
    }
}

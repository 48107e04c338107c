//! How a plugin is said to have been built, for people and for programs: always as what somebody claims.

use serde_json::{Value, json};
use stockade_package::{Artifact, Finding, Package, Provenance};

use crate::failure::text;
use crate::output::{self, safe};

/// For programs: nothing of it stands beside what is known.
pub(super) fn document(package: &Package) -> Value {
    json!(package.provenance.as_ref().map(|provenance| json!({ "claimed": provenance })))
}

/// What an artifact is called, and its digests.
fn artifact(artifact: &Artifact) -> String {
    let digests = artifact.digest.iter().map(|(name, digest)| format!("{name}:{digest}"));
    let words = artifact.name.iter().chain(&artifact.uri).cloned().chain(digests);
    words.collect::<Vec<_>>().join(" ")
}

/// For people, a line each.
fn lines(provenance: &Provenance) -> Vec<String> {
    let Provenance { builder, build_type, subjects, sources, parameters, .. } = provenance;
    let mut lines = vec![format!("built by {builder}"), format!("as a build of type {build_type}")];
    lines.extend(sources.iter().map(|source| format!("from {}", artifact(source))));
    lines.extend(parameters.iter().map(|parameter| format!("with {} = {}", parameter.at, parameter.value)));
    lines.extend(subjects.iter().map(|subject| format!("to {}", artifact(subject))));
    lines
}

pub(super) fn show(package: &Package) {
    let Some(provenance) = &package.provenance else { return };
    output::line("\nHOW IT WAS BUILT, BY THE WORD OF WHOEVER WROTE ITS PROVENANCE; NOBODY HAS CHECKED IT");
    lines(provenance).iter().for_each(|line| output::line(&format!("  claimed: {}", safe(line))));
}

/// What is wrong with what is claimed.
pub(super) fn warn(finding: &Finding) {
    output::note(&text(finding.severity.as_str(), &finding.problem));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_one_whatever_is_claimed() {
        let text = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",
            "subject":[{"name":"a.wasm","digest":{"sha512":"1"}}],
            "predicate":{"buildDefinition":{"buildType":"t","externalParameters":{"a":{"b":[1]}},
            "resolvedDependencies":[{"uri":"git+https://x","digest":{"gitCommit":"2"}}]},
            "runDetails":{"builder":{"id":"one\nsigned by  ed25519:x\u001b[2J"}}}}"#;
        let provenance = Provenance::parse(text.as_bytes()).expect("a provenance");
        let shown: Vec<_> = lines(&provenance).iter().map(|line| safe(line)).collect();
        let expected = [
            "built by one\\u{a}signed by  ed25519:x\\u{1b}[2J",
            "as a build of type t",
            "from git+https://x gitCommit:2",
            "with /a/b/0 = 1",
            "to a.wasm sha512:1",
        ];
        assert_eq!(shown, expected);
    }
}

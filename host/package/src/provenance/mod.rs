//! How a plugin is said to have been built: an in-toto statement (<https://in-toto.io/Statement/v1>) with an SLSA provenance
//! (<https://slsa.dev/provenance/v1>), which lies beside the manifest. All in it is somebody's claim: it is shown as one, and
//! nothing is ever granted, trusted or let in for it.
//!
//! What is shown is read strictly, so that no two readers see two things: no key twice, no digest that is none. What is not
//! shown may be anything, as the specification wants it.

mod error;
mod told;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::{Check, Finding, Package, Problem, Severity, sha256};

pub use error::ProvenanceError;
pub use told::Parameter;
use told::{Digests, Parameters};

/// How a plugin was built, in its folder.
pub const PROVENANCE_FILE: &str = "provenance.json";
/// Largest provenance: 64 KiB. What the builders of large code forges write has some 5 to 20 KiB; without a bound it would
/// be the way to make every host that looks at a package read a gigabyte of JSON.
pub const MAX_PROVENANCE: u64 = 64 * 1024;

/// Artifacts or parameters of one list: each is a line for whoever looks at the plugin, who is to see the rest as well.
const MAX_SHOWN: usize = 256;
/// Longest text that is shown, in bytes: the longest addresses are shorter.
const MAX_TEXT: usize = 4 * 1024;
/// Subjects that a finding names; how many more there are is counted.
const NAMED: usize = 3;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// What somebody says of how a plugin was built. Every text is hostile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Provenance {
    /// Who built it: `runDetails.builder.id`.
    pub builder: String,
    /// What kind of build it was, and so what the parameters mean: `buildDefinition.buildType`.
    pub build_type: String,
    /// What came of it: `subject`.
    pub subjects: Vec<Artifact>,
    /// What it was made of: `buildDefinition.resolvedDependencies`.
    pub sources: Vec<Artifact>,
    /// What the builder was asked for: `buildDefinition.externalParameters`, each value by its place in there.
    pub parameters: Vec<Parameter>,
}

/// Something that was built, or built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Artifact {
    /// What it is called.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default)]
    pub uri: Option<String>,
    /// Its digests, by what they are called: `sha256`, `gitCommit`.
    #[serde(default, deserialize_with = "Digests::read")]
    pub digest: BTreeMap<String, String>,
}

/// Which statement it is, whatever else may be in it.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "_type")]
    statement: String,
    #[serde(rename = "predicateType")]
    predicate: String,
}

#[derive(Deserialize)]
struct Statement {
    subject: Vec<Artifact>,
    predicate: Predicate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: Parameters,
    #[serde(default)]
    resolved_dependencies: Vec<Artifact>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

impl Provenance {
    /// Reads one. Whether a word of it is true is not looked at, and could not be.
    ///
    /// # Errors
    ///
    /// It is none, or what is shown of it has two readings or no end.
    pub fn parse(bytes: &[u8]) -> Result<Provenance, ProvenanceError> {
        if bytes.len() as u64 > MAX_PROVENANCE {
            return Err(ProvenanceError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProvenanceError::NotUtf8)?;
        let kind: Kind = serde_json::from_str(text).map_err(ProvenanceError::Json)?;
        if kind.statement != STATEMENT {
            return Err(ProvenanceError::Kind { found: kind.statement, expected: STATEMENT });
        }
        if kind.predicate != PREDICATE {
            return Err(ProvenanceError::Kind { found: kind.predicate, expected: PREDICATE });
        }
        let Statement { subject, predicate } = serde_json::from_str(text).map_err(ProvenanceError::Json)?;
        let Predicate { build_definition, run_details } = predicate;
        let provenance = Provenance {
            builder: run_details.builder.id,
            build_type: build_definition.build_type,
            subjects: subject,
            sources: build_definition.resolved_dependencies,
            parameters: build_definition.external_parameters.0,
        };
        provenance.check()?;
        Ok(provenance)
    }

    fn check(&self) -> Result<(), ProvenanceError> {
        let lists = [
            ("subjects", self.subjects.len()),
            ("resolvedDependencies", self.sources.len()),
            ("externalParameters", self.parameters.len()),
        ];
        if let Some((list, _)) = lists.into_iter().find(|(_, length)| *length > MAX_SHOWN) {
            return Err(ProvenanceError::TooMany(list));
        }
        let artifacts = self.subjects.iter().chain(&self.sources);
        let of_artifacts = artifacts.clone().flat_map(|artifact| {
            let digests = artifact.digest.iter().flat_map(|(name, digest)| [name, digest]);
            artifact.name.iter().chain(&artifact.uri).chain(digests)
        });
        let of_parameters = self.parameters.iter().flat_map(|parameter| [&parameter.at, &parameter.value]);
        let mut texts =
            [&self.builder, &self.build_type].into_iter().chain(of_artifacts).chain(of_parameters);
        if texts.any(|text| text.len() > MAX_TEXT) {
            return Err(ProvenanceError::TooLong);
        }
        if artifacts.clone().any(|artifact| artifact.digest.len() > MAX_SHOWN) {
            return Err(ProvenanceError::TooMany("digests"));
        }
        // A digest that no file can have would be a subject that nobody can hold against anything.
        let mut digests = artifacts.filter_map(|artifact| artifact.digest.get("sha256"));
        match digests.find(|digest| !is_sha256(digest)) {
            Some(found) => Err(ProvenanceError::Digest { found: found.clone() }),
            None => Ok(()),
        }
    }

    /// Whether it says that a file with this SHA-256, in hexadecimal, came of the build.
    pub fn speaks_of(&self, sha256: &str) -> bool {
        self.subjects
            .iter()
            .any(|subject| subject.digest.get("sha256").is_some_and(|digest| digest == sha256))
    }

    /// What it calls its subjects, for a message.
    fn named(&self) -> String {
        let names = self.subjects.iter().take(NAMED).map(|subject| {
            let name = subject.name.as_ref().or(subject.uri.as_ref());
            name.map_or_else(|| "something without a name".to_owned(), |name| format!("{name:?}"))
        });
        let names = names.collect::<Vec<_>>().join(", ");
        match self.subjects.len() {
            0 => "nothing".to_owned(),
            all if all > NAMED => format!("{names} and {} more", all - NAMED),
            _ => names,
        }
    }
}

/// Whether a path in a plugin's folder is that of its provenance.
pub(crate) fn is_called_so(path: &str) -> bool {
    let named = Path::new(path).components().filter(|part| *part != Component::CurDir);
    named.eq([Component::Normal(PROVENANCE_FILE.as_ref())])
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl Package {
    /// What is wrong with what is said of how the plugin was built: that it is said of another one.
    pub fn of_something_else(&self) -> Option<Finding> {
        let provenance = self.provenance.as_ref()?;
        let component = sha256(&self.component);
        if provenance.speaks_of(&component) {
            return None;
        }
        let message = format!(
            "{PROVENANCE_FILE} is about {}, and not about the component, sha256:{component}",
            provenance.named()
        );
        let problem = Problem::new(
            "provenance-of-something-else",
            format!("{PROVENANCE_FILE}#/subject"),
            message,
            "believe nothing that it claims of this plugin; its author puts the provenance of this very build there, or none",
        );
        Some(Finding::new(Check::Archive, Severity::Warning, problem))
    }
}

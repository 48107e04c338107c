use std::io;
use std::path::PathBuf;

use stockade_package::{ArchiveError, Explain, PackageError, Problem, chain};

/// Why a package did not go to a registry, or did not come from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Not `oci://REGISTRY/REPOSITORY:TAG`.
    #[error("{text:?} names no package in a registry")]
    Reference {
        /// What was written.
        text: String,
    },
    /// A digest names what is there already.
    #[error("a package is pushed to a tag; its digest is what comes of it")]
    TagNeeded,
    /// The Docker configuration.
    #[error("credentials cannot be read from {path:?}: {why}")]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No answer.
    #[error("{registry} does not answer as it should: {what}")]
    Unreachable {
        /// Which registry.
        registry: String,
        /// What was asked of it.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It wants to know who we are, and nobody has said so or it does not believe it.
    #[error("{registry} does not let this user do that")]
    Unauthorized {
        /// Which registry.
        registry: String,
    },
    /// There is no such package.
    #[error("{reference} is not there")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// It said no.
    #[error("{registry} refused {what} with status {status}: {said}")]
    Refused {
        /// Which registry.
        registry: String,
        /// What was asked of it.
        what: &'static str,
        /// Of HTTP.
        status: u16,
        /// In its own words. Hostile text.
        said: String,
    },
    /// Something else than what was asked for.
    #[error("{registry} sent {what}")]
    Answer {
        /// Which registry.
        registry: String,
        /// What is wrong with it.
        what: String,
    },
    /// What came is no package.
    #[error("what {reference} is, is no plugin package")]
    NotAPackage {
        /// What was asked for.
        reference: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// What is to be sent, or has come, is no plugin.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl Explain for OciError {
    fn problem(&self) -> Problem {
        let (code, field, next_step) = match self {
            Self::Reference { .. } => (
                "bad-reference",
                "REFERENCE".to_owned(),
                "write oci://REGISTRY/REPOSITORY:TAG, or oci://REGISTRY/REPOSITORY@sha256:DIGEST",
            ),
            Self::TagNeeded => ("tag-needed", "REFERENCE".to_owned(), "write oci://REGISTRY/REPOSITORY:TAG"),
            Self::Credentials { path, .. } => (
                "registry-credentials",
                path.display().to_string(),
                "correct the file, or log in anew; DOCKER_CONFIG names another folder",
            ),
            Self::Unreachable { registry, .. } => (
                "registry-unreachable",
                registry.clone(),
                "see that its name is right and that it can be reached; --plain-http for one without TLS, --trust for \
                 an authority of your own",
            ),
            Self::Unauthorized { registry } => (
                "registry-unauthorized",
                registry.clone(),
                "log in to the registry with a user who may do it (docker login), or name the folder of that login in \
                 DOCKER_CONFIG",
            ),
            Self::NotFound { reference } => {
                ("not-in-registry", reference.clone(), "correct the repository, tag or digest")
            }
            Self::Refused { registry, .. } => {
                ("registry-refused", registry.clone(), "do as it says, or ask whoever keeps the registry")
            }
            Self::Answer { registry, .. } => (
                "registry-answer",
                registry.clone(),
                "nothing of it was kept; ask whoever keeps the registry, and treat it as hostile until then",
            ),
            Self::NotAPackage { reference, .. } => (
                "not-a-package",
                reference.clone(),
                "name a package that was pushed by stockade push; other artifacts are not taken",
            ),
            Self::Package(error) => return error.problem(),
        };
        Problem::new(code, field, chain(self), next_step)
    }
}

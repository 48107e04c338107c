/// Why a `provenance.json` says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// More than is ever needed.
    #[error("it has more than 64 KiB")]
    TooLarge,
    /// Not a text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Not the JSON of a statement with a provenance, or a key of what is shown stands there twice.
    #[error("it is no in-toto statement with an SLSA provenance")]
    Json(#[source] serde_json::Error),
    /// A statement of another kind.
    #[error("it is of the type {found:?}, and {expected} is read")]
    Kind {
        /// In the statement.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// More than anybody would look at.
    #[error("it has more than 256 {0}")]
    TooMany(&'static str),
    /// More than anybody would read.
    #[error("a text in it has more than 4096 bytes")]
    TooLong,
    /// Both would be one file of the plugin's folder.
    #[error("the component has its name")]
    Component,
    /// No file has that digest.
    #[error("{found:?} is no SHA-256 in hexadecimal")]
    Digest {
        /// In the statement.
        found: String,
    },
}

impl ProvenanceError {
    pub(crate) const CODE: &str = "provenance-malformed";
    pub(crate) const NEXT_STEP: &str = "have the builder write an in-toto statement v1 with an SLSA provenance v1 \
         (docs/packaging.md), or leave provenance.json out";
}

//! What operators and publishers read of what is wrong with an index: a code, where, and what to do now.

use super::IndexError;
use crate::{Explain, Problem};

impl IndexError {
    fn advice(&self) -> (&'static str, &'static str) {
        match self {
            Self::TooLarge { .. } => ("index-too-large", "split the index"),
            Self::Syntax { .. } => ("index-syntax", "get it anew; if it is yours, make it with stockade"),
            Self::Shape { .. } => {
                ("index-shape", "correct the index: docs/schema/index.v1.json has all that one can say")
            }
            Self::Schema { .. } => ("index-format", "use a later version of stockade"),
            Self::IndexName { .. } => (
                "bad-index-name",
                "write parts of a-z, 0-9, ., - and _ with / between them, as example.org/plugins",
            ),
            Self::Time { .. } => ("bad-time", "write the time as 2027-01-31T00:00:00Z"),
            Self::Number { .. } => ("index-number", "write a number that is in between"),
            Self::TooLong { .. } => ("index-too-long", "shorten it"),
            Self::TooMany { .. } => ("index-too-many", "split the index, or leave out old versions"),
            Self::Name { .. } => {
                ("bad-name", "write publisher/name, each of a-z, 0-9 and -, not starting with -, up to 64")
            }
            Self::Version { .. } => ("bad-version", "write a semantic version, as 1.2.3"),
            Self::Versions { .. } => {
                ("bad-version-range", "write a range of semantic versions, as ^1.2 or >=1.2, <3")
            }
            Self::Type { .. } => ("unknown-type", "the types are node, integration, agent, quality_gate"),
            Self::Contract { .. } => ("bad-contract", "write the contract as 0.1"),
            Self::Digest { .. } => {
                ("bad-digest", "write sha256: and 64 digits, as stockade inspect shows them")
            }
            Self::Source { .. } => (
                "bad-source",
                "write oci://HOST/REPOSITORY@sha256:..., https://HOST/FILE.stockade.tar, or FILE.stockade.tar beside the index",
            ),
            Self::SourceDigest { .. } => {
                ("source-of-another", "name the package by the digest of the version")
            }
            Self::DuplicatePlugin { .. } => {
                ("duplicate-plugin", "keep one of the two, with the versions of both")
            }
            Self::DuplicateVersion { .. } => ("duplicate-version", "keep one of the two"),
            Self::DuplicateDependency { .. } => ("duplicate-dependency", "keep one of the two"),
            Self::DependsOnItself { .. } => ("depends-on-itself", "remove it"),
            Self::OtherName { .. } => (
                "index-of-another-name",
                "do not use it: correct the index's name or address, or ask who runs it why they differ",
            ),
            Self::RolledBack { .. } => (
                "index-rolled-back",
                "do not use it: somebody shows an old index; get it from elsewhere, and ask who runs it",
            ),
            Self::Forked { .. } => (
                "index-forked",
                "do not use it: readers are shown different indexes, or it was changed without a new version; ask who runs it",
            ),
            Self::Ahead { .. } => (
                "index-ahead",
                "do not use it before who runs it has said why; after a stolen key: revoke that, and forget what was seen",
            ),
            Self::Expired { .. } => (
                "index-expired",
                "get a newer one; if there is none, somebody holds it back, or who runs it has to publish one. Check the clock",
            ),
            Self::NotPacked { .. } => ("not-packed", "pack it first (stockade pack)"),
            Self::Taken { .. } => ("version-taken", "give the changed package a version of its own"),
        }
    }

    fn field(&self) -> String {
        match self {
            Self::Syntax { at, .. }
            | Self::Shape { at, .. }
            | Self::Number { at, .. }
            | Self::TooLong { at, .. }
            | Self::TooMany { at, .. }
            | Self::Name { at, .. }
            | Self::Version { at, .. }
            | Self::Versions { at, .. }
            | Self::Type { at, .. }
            | Self::Contract { at, .. }
            | Self::Digest { at, .. }
            | Self::Source { at, .. }
            | Self::SourceDigest { at, .. }
            | Self::DuplicatePlugin { at, .. }
            | Self::DuplicateVersion { at, .. }
            | Self::DuplicateDependency { at, .. }
            | Self::DependsOnItself { at } => at.clone(),
            Self::TooLarge { .. } => String::new(),
            Self::Schema { .. } => "schema".to_owned(),
            Self::IndexName { .. } | Self::OtherName { .. } => "name".to_owned(),
            Self::Time { .. } | Self::Expired { .. } => "expires".to_owned(),
            Self::RolledBack { .. } | Self::Forked { .. } | Self::Ahead { .. } => "version".to_owned(),
            Self::NotPacked { plugin } => plugin.clone(),
            Self::Taken { plugin, version, .. } => format!("{plugin} {version}"),
        }
    }
}

impl Explain for IndexError {
    fn problem(&self) -> Problem {
        let (code, next_step) = self.advice();
        Problem::new(code, self.field(), self.chain(), next_step)
    }
}

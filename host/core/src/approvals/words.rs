//! What people say of approvals, and what is to be said of one.

use serde::{Deserialize, Serialize};
use stockade_policy::{Approvers, PublicKey, Scope};

use super::journal::Wish;
use super::{BookError, grants_digest};

/// Longest reason, in bytes.
const MAX_WHY: usize = 1024;
/// Scopes of one approval: what a manifest can ask for, and as many by hand.
const MAX_SCOPES: usize = 128;

/// What somebody says yes or no to: exactly these scopes of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// `publisher/name`.
    pub plugin: String,
    /// SHA-256 of its component, in hexadecimal: the approval is for these bytes. None where `versions` says which.
    pub component: Option<String>,
    /// A range of versions, as `>=1.2, <2`.
    pub versions: Option<String>,
    /// Only of what this key has signed.
    #[serde(default)]
    pub signed_by: Option<PublicKey>,
    /// What is approved: `http:api.example.org`.
    pub scopes: Vec<String>,
    /// For how many seconds; for good where it is none.
    pub seconds: Option<u64>,
    /// In the words of whoever says it.
    pub why: String,
}

/// What has become of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// It holds.
    Given,
    /// It takes another person.
    Waiting,
    /// Somebody said no.
    Denied,
    /// Somebody took it back.
    Revoked,
    /// Its time is over.
    Expired,
}

impl ApprovalState {
    /// Its one name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Waiting => "waiting",
            Self::Denied => "denied",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// A person's word about an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The user's number.
    pub uid: u32,
    /// The name that belonged to it.
    pub user: Option<String>,
    /// `approve`, `agree`, `deny`, `revoke`, `expire`.
    pub did: String,
    /// Seconds since 1970.
    pub at: u64,
    /// In their words.
    pub why: String,
}

/// One approval, with its history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalStatus {
    /// Its number, for good.
    pub number: u64,
    /// What has become of it.
    pub state: ApprovalState,
    /// `publisher/name`.
    pub plugin: String,
    /// SHA-256 of the component that it is for.
    pub component: Option<String>,
    /// The versions that it is for.
    pub versions: Option<String>,
    /// Only of what this key has signed.
    #[serde(default)]
    pub signed_by: Option<PublicKey>,
    /// What is approved.
    pub scopes: Vec<String>,
    /// SHA-256 of that.
    pub grants_sha256: String,
    /// Seconds since 1970.
    pub until: Option<u64>,
    /// How many more people it takes.
    pub lacking: u32,
    /// Who said what, in order.
    pub words: Vec<Word>,
}

pub(super) fn checked_why(why: &str) -> Result<(), BookError> {
    let what = match why.trim() {
        "" => "no reason is given".to_owned(),
        why if why.len() > MAX_WHY => format!("the reason is longer than {MAX_WHY} bytes"),
        _ => return Ok(()),
    };
    Err(BookError::Wish { field: "--why", what })
}

impl ApprovalRequest {
    /// Checks it, and writes it in the one way that it is written.
    pub(super) fn wish(&self, now: u64, approvers: &Approvers) -> Result<Wish, BookError> {
        let wrong = |field, what: String| Err(BookError::Wish { field, what });
        checked_why(&self.why)?;
        if !stockade_policy::is_plugin_name(&self.plugin) {
            return wrong("PLUGIN", format!("{:?} is no plugin's name", self.plugin));
        }
        if self.scopes.is_empty() || self.scopes.len() > MAX_SCOPES {
            return wrong(
                "--grant",
                format!("{} grants are named: 1 to {MAX_SCOPES} can be", self.scopes.len()),
            );
        }
        let mut scopes = Vec::new();
        for text in &self.scopes {
            match text.parse::<Scope>() {
                Ok(scope) => scopes.push(scope.to_string()),
                Err(error) => return wrong("--grant", error.to_string()),
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        match (&self.component, &self.versions) {
            (Some(digest), None) if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) => {}
            (None, Some(versions)) => {
                if let Err(error) = versions.parse::<semver::VersionReq>() {
                    return wrong("--versions", format!("{versions:?} is no range of versions: {error}"));
                }
            }
            _ => return wrong("component", "it is for one component or for a range of versions".to_owned()),
        }
        let seconds = match (self.seconds, approvers.longest) {
            (Some(seconds), Some(longest)) if seconds > longest => {
                return wrong("--for", format!("the policy lets an approval hold for {longest} s at most"));
            }
            (seconds, longest) => seconds.or(longest),
        };
        Ok(Wish {
            plugin: self.plugin.clone(),
            component: self.component.as_ref().map(|digest| digest.to_ascii_lowercase()),
            versions: self.versions.clone(),
            signed_by: self.signed_by,
            grants_sha256: grants_digest(&scopes),
            scopes,
            until: seconds.map(|seconds| now.saturating_add(seconds)),
        })
    }
}

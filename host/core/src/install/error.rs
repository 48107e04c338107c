use std::io;
use std::path::{Path, PathBuf};

use semver::Version;
use stockade_package::index::{IndexError, ResolveError};
use stockade_package::signature::SignatureError;
use stockade_package::{Explain, Finding, PackageError, Problem};
use stockade_policy::{Distrust, PublicKey};

use super::Phase;
use crate::database::Unusable;
use crate::error::HostError;
use crate::oci::OciError;
use crate::weigh::Lacking;

/// Why what is installed was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// What is installed cannot be read or written.
    #[error("the list of installed plugins cannot be used: {0}")]
    Inventory(Unusable),
    /// The list is not the one of which the audit log speaks.
    #[error("the list of installed plugins is not as the audit log says: {why}")]
    Exchanged {
        /// What differs.
        why: String,
    },
    /// Somebody else changes what is installed.
    #[error("{holder} is changing what is installed")]
    Busy {
        /// Who, and what it does.
        holder: String,
    },
    /// A file or folder of the state folder.
    #[error("{path} cannot be {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// What it was to be: `written`, `read`.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such plugin.
    #[error("{plugin} is not installed")]
    NotInstalled {
        /// `publisher/name`.
        plugin: String,
    },
    /// There is one already.
    #[error("{plugin} is installed already, in version {version}")]
    Installed {
        /// `publisher/name`.
        plugin: String,
        /// Which version.
        version: Version,
    },
    /// It is another plugin than the one that is to be changed.
    #[error("it is the plugin {found}, and {expected} is to be updated")]
    OtherPlugin {
        /// What it is.
        found: String,
        /// What it was to be.
        expected: String,
    },
    /// It is not the version that was asked for.
    #[error("it is {plugin} {found}, and {expected} was to be there")]
    OtherVersion {
        /// `publisher/name`.
        plugin: String,
        /// What it is.
        found: Version,
        /// What it was to be.
        expected: Version,
    },
    /// It is not the package that was asked for.
    #[error("its digest is {found}, and {expected} was asked for")]
    OtherDigest {
        /// What it has.
        found: String,
        /// What it was to have.
        expected: String,
    },
    /// A component alone says neither who it is nor what it asks for.
    #[error("{path} is a component without a manifest")]
    Bare {
        /// Where it is.
        path: PathBuf,
    },
    /// Preflight has found something.
    #[error("{}", preflight(.0))]
    Preflight(Vec<Finding>),
    /// Nobody has signed it.
    #[error("nobody has signed {plugin}")]
    Unsigned {
        /// `publisher/name`.
        plugin: String,
    },
    /// Nobody who signed the installed version has signed this one.
    #[error("{plugin} is signed by {}, and what is installed by {}", keys(.now), keys(.before))]
    OtherSigner {
        /// `publisher/name`.
        plugin: String,
        /// Who has signed the one that is installed.
        before: Vec<PublicKey>,
        /// Who has signed this one.
        now: Vec<PublicKey>,
    },
    /// A later version was installed here.
    #[error("{plugin} {version} is older than {highest}, which was installed here")]
    Older {
        /// `publisher/name`.
        plugin: String,
        /// The version that it has.
        version: Version,
        /// The latest that was ever installed.
        highest: Version,
    },
    /// This version was installed here, and was another package.
    #[error("{plugin} {version} was installed here with the digest {before}, and this is {now}")]
    Republished {
        /// `publisher/name`.
        plugin: String,
        /// Its version.
        version: Version,
        /// The digest that it had.
        before: String,
        /// The digest that it has.
        now: String,
    },
    /// It is installed, in this version.
    #[error("{plugin} {version} is what is installed")]
    Same {
        /// `publisher/name`.
        plugin: String,
        /// Its version.
        version: Version,
    },
    /// Another plugin needs it, or another version of it.
    #[error("{dependent} needs {plugin} {versions}")]
    Needed {
        /// `publisher/name`.
        plugin: String,
        /// Who needs it.
        dependent: String,
        /// In which versions.
        versions: String,
    },
    /// It asks for more than the version that runs.
    #[error("{} {} asks for more than {}, which stays: {}", .0.plugin, .0.version, .0.running, scopes(&.0.asks, ", "))]
    Waits(Box<Waits>),
    /// What an operator gives it cannot be given.
    #[error("{}", .0.message)]
    Setup(Problem),
    /// It was brought up, and no instance of it could be made.
    #[error("{}", .0.message)]
    Unhealthy(Problem),
    /// There is no version before.
    #[error("there is no version of {plugin} to go back to")]
    NothingBefore {
        /// `publisher/name`.
        plugin: String,
    },
    /// The package in the state folder is not the one that was installed.
    #[error("the package of {plugin} has the digest {found}, and {expected} was installed")]
    Changed {
        /// `publisher/name`.
        plugin: String,
        /// What is there.
        found: String,
        /// What was.
        expected: String,
    },
    /// The package in the state folder is gone.
    #[error("the package of {plugin} is not there: {path}")]
    Missing {
        /// `publisher/name`.
        plugin: String,
        /// Where it was.
        path: PathBuf,
    },
    /// It cannot be downloaded.
    #[error("{url} cannot be downloaded: {why}")]
    Download {
        /// From where.
        url: String,
        /// Why.
        why: String,
    },
    /// Nobody has signed the index.
    #[error("nobody has signed the index {name}")]
    IndexUnsigned {
        /// What it calls itself.
        name: String,
    },
    /// Nobody who signed the index before has signed this one.
    #[error("the index {name} is signed by {}, and was signed by {}", keys(.now), keys(.before))]
    IndexOtherSigner {
        /// What it calls itself.
        name: String,
        /// Who has signed the one that was seen last.
        before: Vec<PublicKey>,
        /// Who has signed this one.
        now: Vec<PublicKey>,
    },
    /// The policy names those who sign it, and they have not.
    #[error("the index {name} {distrust}")]
    IndexDistrusted {
        /// What it calls itself.
        name: String,
        /// Why.
        distrust: Distrust,
    },
    /// An index that is none, or not that of today.
    #[error(transparent)]
    Index(Box<IndexError>),
    /// No versions fit together.
    #[error(transparent)]
    Resolve(Box<ResolveError>),
    /// A signature that counts for nothing.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A package that is none.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A version that waits until what it asks for is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// `publisher/name`.
    pub plugin: String,
    /// The version that waits.
    pub version: Version,
    /// The version that stays.
    pub running: Version,
    /// What it asks for besides, and nobody has approved.
    pub asks: Vec<Lacking>,
    /// Its package.
    pub package: PathBuf,
}

/// A change that did not come about, and how far it had come.
#[derive(Debug, thiserror::Error)]
#[error("{}", failed(.phase, .plugin, .stays.as_ref()))]
pub struct Failed {
    /// The number under which everything of it is found: in the history, in records.
    pub id: String,
    /// Which plugin, where that was known by then.
    pub plugin: Option<String>,
    /// Where it failed.
    pub phase: Phase,
    /// The version that is installed, as before.
    pub stays: Option<Version>,
    /// Why.
    #[source]
    pub error: InstallError,
}

fn failed(phase: &Phase, plugin: &Option<String>, stays: Option<&Version>) -> String {
    let plugin = plugin.as_deref().unwrap_or("the plugin");
    match (stays, phase) {
        (Some(version), Phase::Activate | Phase::HealthCheck) => {
            format!("rolled back to {version}: {phase} of {plugin} failed")
        }
        (Some(version), _) => format!("{version} stays: {phase} of {plugin} failed"),
        (None, _) => format!("nothing was installed: {phase} of {plugin} failed"),
    }
}

/// How somebody says yes or no to what waits.
pub(super) fn approve_step(plugin: &str, package: &Path) -> String {
    let package = package.display();
    format!("stockade approvals approve {package} --why TEXT, or deny; then stockade update {plugin}")
}

fn keys(keys: &[PublicKey]) -> String {
    match keys {
        [] => "nobody".to_owned(),
        keys => keys.iter().map(PublicKey::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// What is asked for, in one line.
pub(super) fn scopes(asks: &[Lacking], between: &str) -> String {
    asks.iter().map(|lacking| lacking.scope.as_str()).collect::<Vec<_>>().join(between)
}

fn preflight(findings: &[Finding]) -> String {
    match findings {
        [] => "preflight has found something".to_owned(),
        [one] => one.problem.message.clone(),
        [first, rest @ ..] => format!("{} (and {} more)", first.problem.message, rest.len()),
    }
}

impl InstallError {
    /// All that preflight has found, where that is why.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Preflight(findings) => findings,
            _ => &[],
        }
    }
}

impl From<IndexError> for InstallError {
    fn from(error: IndexError) -> Self {
        Self::Index(Box::new(error))
    }
}

impl From<ResolveError> for InstallError {
    fn from(error: ResolveError) -> Self {
        Self::Resolve(Box::new(error))
    }
}

impl From<Waits> for InstallError {
    fn from(waits: Waits) -> Self {
        Self::Waits(Box::new(waits))
    }
}

impl Explain for InstallError {
    fn problem(&self) -> Problem {
        let (code, field, next_step): (&'static str, String, String) = match self {
            Self::Inventory(_) => (
                "inventory-broken",
                "installed.sqlite".into(),
                "see that the state folder is writable and its disk has room; stockade doctor says more".into(),
            ),
            Self::Exchanged { .. } => (
                "inventory-exchanged",
                "installed.sqlite".into(),
                "find out who has put another file there; the audit log has what was installed (stockade audit query \
                 --layer package)"
                    .into(),
            ),
            Self::Busy { .. } => {
                ("install-busy", "installed".into(), "wait until it is done, or longer: --wait 10m".into())
            }
            Self::File { path, .. } => (
                "install-file",
                path.display().to_string(),
                "see that the folder is this user's and its disk has room".into(),
            ),
            Self::NotInstalled { plugin } => {
                ("not-installed", plugin.clone(), "see stockade list for those that are".into())
            }
            Self::Installed { plugin, .. } => {
                (
                    "installed-already",
                    plugin.clone(),
                    format!("stockade update {plugin}, with the new package; or stockade enable {plugin}, to have it run"),
                )
            }
            Self::OtherPlugin { found, .. } => {
                ("other-plugin", found.clone(), "name a package of the plugin, or install this one".into())
            }
            Self::OtherDigest { .. } => (
                "digest-mismatch",
                "digest".into(),
                "get the package anew; if it stays so, the source offers something else than what was pinned".into(),
            ),
            Self::Bare { .. } => {
                ("manifest-needed", "plugin.toml".into(), "write a plugin.toml beside it, and name the folder".into())
            }
            Self::Preflight(findings) => {
                let Some(first) = findings.first() else { return Problem::new("preflight", "", "", "") };
                (first.problem.code, first.problem.field.clone(), first.problem.next_step.clone())
            }
            Self::Unsigned { plugin } => (
                "not-signed",
                plugin.clone(),
                "have its publisher sign it (stockade sign), or say --allow-unsigned if you know where it is from".into(),
            ),
            Self::OtherSigner { plugin, .. } => (
                "other-signer",
                plugin.clone(),
                "ask its publisher; name their keys in the policy, or say --allow-other-signer".into(),
            ),
            Self::Older { plugin, .. } => (
                "older-version",
                plugin.clone(),
                "an old version may have holes that are mended; if you mean it, say --allow-downgrade".into(),
            ),
            Self::Republished { plugin, .. } => (
                "version-republished",
                plugin.clone(),
                "a version is one package for ever: ask its publisher; if you mean it, say --allow-downgrade".into(),
            ),
            Self::Same { plugin, .. } => ("up-to-date", plugin.clone(), "there is nothing to do".into()),
            Self::Needed { dependent, .. } => (
                "still-needed",
                dependent.clone(),
                format!("uninstall or update {dependent} first"),
            ),
            Self::Waits(waits) => {
                let step = approve_step(&waits.plugin, &waits.package);
                ("waits-for-approval", waits.plugin.clone(), step)
            }
            Self::Setup(problem) | Self::Unhealthy(problem) => return problem.clone(),
            Self::NothingBefore { plugin } => {
                ("nothing-before", plugin.clone(), "see stockade changes for what was installed".into())
            }
            Self::Changed { plugin, .. } => (
                "package-changed",
                plugin.clone(),
                "somebody has changed the file: find out who; then install it anew (stockade uninstall, stockade install)"
                    .into(),
            ),
            Self::Missing { plugin, .. } => (
                "package-missing",
                plugin.clone(),
                format!("stockade uninstall {plugin}, and install it anew"),
            ),
            Self::Download { url, .. } => {
                ("download-failed", url.clone(), "see that the address is right and can be reached from here".into())
            }
            Self::OtherVersion { plugin, .. } => (
                "other-version",
                plugin.clone(),
                "the index says something else than the package: ask who runs it".into(),
            ),
            Self::IndexUnsigned { name } => (
                "index-not-signed",
                name.clone(),
                "have whoever runs it sign it (stockade sign), or say --allow-unsigned if it is your own"
                    .into(),
            ),
            Self::IndexOtherSigner { name, .. } => (
                "index-other-signer",
                name.clone(),
                "ask who runs it; name their keys in the policy ([indexes]), or say --allow-other-signer".into(),
            ),
            Self::IndexDistrusted { name, .. } => (
                "index-not-trusted",
                name.clone(),
                "get the one that they have signed; or name the key that has in the policy, if you trust it".into(),
            ),
            Self::Index(error) => return error.problem(),
            Self::Resolve(error) => return error.problem(),
            Self::Signature(error) => return error.problem(),
            Self::Package(error) => return error.problem(),
            Self::Registry(error) => return error.problem(),
            Self::Host(error) => return error.problem(),
        };
        Problem { code, field, message: self.chain(), next_step }
    }
}

impl Explain for Failed {
    fn problem(&self) -> Problem {
        let inner = self.error.problem();
        // Nothing was to be done, and nothing has failed.
        if matches!(self.error, InstallError::Same { .. }) {
            return inner;
        }
        Problem { message: format!("{self}: {}", inner.message), ..inner }
    }
}

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use stockade_audit::AuditError;
use stockade_ipc::CompileFault;
use stockade_ipc::bounds::CONFIG_VALUE;
use stockade_package::{Explain, PackageError, Problem, SettingProblem};
use stockade_policy::{Distrust, GuestPath, Limits, Rule, Scope, Source, stands};

use crate::approvals::BookError;
use crate::boot::BootError;
use crate::compile;
use crate::database::Unusable;
use crate::launch::{LaunchError, shortage};
use crate::model::ModelError;
use crate::programs::ProgramError;
use crate::reap::Exit;
use crate::secret::SecretError;
use crate::store::StoreError;
use crate::support::Missing;
use crate::trail::Unrecorded;

/// Why a host was not built or a plugin not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The plugin cannot be kept like that.
    #[error("{message}")]
    Supervision {
        /// Which of its settings.
        field: &'static str,
        /// What it can be.
        message: String,
    },
    /// The machine lacks a layer of the confinement. There is no unconfined mode.
    #[error("this machine cannot confine plugins: {}", list(.0))]
    Unsupported(Vec<Missing>),
    /// A confined program is not where it should be.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The state folder cannot be used.
    #[error("the state folder {path} cannot be used")]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The audit log cannot be opened or written.
    #[error("the audit log cannot be opened or written")]
    Audit(#[source] AuditError),
    /// Memory for a component or an artifact could not be had.
    #[error("no memory for the component or its artifact")]
    Memory(#[source] io::Error),
    /// The watching thread could not be started.
    #[error("the watching thread could not be started")]
    Sentinel(#[source] io::Error),
    /// A confined program did not start.
    #[error("a confined program did not start")]
    Launch(#[source] LaunchError),
    /// A confined program started and could not be proved confined, or did not take its work.
    #[error("a confined program was not trusted")]
    Boot(#[source] BootError),
    /// The component cannot run here.
    #[error("{message}")]
    Component {
        /// The kind of fault.
        fault: CompileFault,
        /// In the engine's words.
        message: String,
    },
    /// The compiler met a cap, or fell over.
    #[error("compiling took more than it may: {cpu_ms} ms of processor time of {cap:?} at most, {end}")]
    CompileCap {
        /// The processor time that it may take.
        cap: Duration,
        /// How it ended.
        end: Exit,
        /// What it took.
        cpu_ms: u64,
    },
    /// The package is not sound.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A grant is above what the plugin's profile can ever have.
    #[error("{scope} is above the ceiling of {by}")]
    AboveCeiling {
        /// The grant.
        scope: Scope,
        /// The profile, or the rule of the policy.
        by: String,
    },
    /// A grant that was given by hand, and that the policy forbids.
    #[error("{scope} is forbidden by {rule}")]
    Forbidden {
        /// The grant.
        scope: Scope,
        /// The rule.
        rule: Rule,
    },
    /// A number that was given by hand is above what the policy sets.
    #[error("{field} is above {max}, which {rule} sets")]
    AbovePolicy {
        /// Which.
        field: String,
        /// The maximum.
        max: u64,
        /// The rule.
        rule: Source,
    },
    /// Not an address that checkpoints of the audit log could be sent to.
    #[error("{url:?} is no address to send checkpoints to: https://HOST[:PORT][/PATH]")]
    CheckpointUrl {
        /// What was written.
        url: String,
    },
    /// The policy does not believe whoever has signed the plugin, or nobody has.
    #[error("{plugin} {why}")]
    Distrusted {
        /// `publisher/name`.
        plugin: String,
        /// Why.
        why: Distrust,
    },
    /// A range of addresses that was opened by hand, and that the policy does not have.
    #[error("the policy does not open the addresses {range}")]
    AddressRange {
        /// The range.
        range: IpNet,
    },
    /// The book of approvals.
    #[error(transparent)]
    Approvals(BookError),
    /// An approval that the plugin was loaded by has ended.
    #[error("an approval that {plugin} was loaded by has ended")]
    Withdrawn {
        /// The plugin.
        plugin: String,
    },
    /// More grants of a kind than the profile's ceiling has.
    #[error("{scope} is one too many: {by} has at most {ceiling}")]
    TooManyGrants {
        /// The grant.
        scope: Scope,
        /// The profile, or the rule of the policy.
        by: String,
        /// How many it has.
        ceiling: u32,
    },
    /// A granted directory cannot be opened.
    #[error("the granted directory {path} cannot be opened")]
    GrantDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two directories at one place in the plugin's view.
    #[error("two directories are granted at {root}")]
    GrantConflict {
        /// The place.
        root: GuestPath,
    },
    /// A limit above the profile's maximum.
    #[error("{field} is above the maximum of the profile, {max}")]
    Limit {
        /// Which.
        field: &'static str,
        /// The maximum.
        max: u64,
    },
    /// A configuration value, or how many there are, is over the protocol's bounds.
    #[error("configuration value {key:?} is one too many or longer than {CONFIG_VALUE} bytes")]
    Config {
        /// Its key.
        key: String,
    },
    /// A granted secret is not to be had.
    #[error("the secret {name:?}")]
    Secret {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The plugin's store is not to be had.
    #[error("the plugin's store")]
    Store(#[source] StoreError),
    /// A granted model is not to be had.
    #[error("the model {name:?}")]
    Model {
        /// The operator's name for it.
        name: String,
        /// Why.
        #[source]
        source: ModelError,
    },
    /// The books of what plugins use up are not to be had.
    #[error("the ledger is not usable")]
    Ledger(#[source] Unusable),
    /// The book of what happened cannot be used.
    #[error("the history in the state folder cannot be used")]
    History(#[source] Unusable),
    /// What was given as a certificate authority is none.
    #[error("the certificate authorities are not PEM: {why}")]
    Authority {
        /// What is wrong with it.
        why: String,
    },
    /// A configuration value is not what the plugin's manifest says.
    #[error(transparent)]
    Setting(#[from] SettingProblem),
    /// The host was stopped.
    #[error("the host was stopped")]
    Stopped,
}

impl From<Unrecorded> for HostError {
    fn from(Unrecorded(error): Unrecorded) -> Self {
        Self::Audit(error)
    }
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(|m| m.what.as_str()).collect::<Vec<_>>().join("; ")
}

impl Explain for HostError {
    fn problem(&self) -> Problem {
        let (code, field, next_step): (&'static str, String, String) = match self {
            Self::Package(error) => return error.problem(),
            Self::Setting(error) => return error.problem(),
            Self::Supervision { field, .. } => (
                "bad-supervision",
                format!("supervision.{field}"),
                "see docs/serving.md for what it can be".into(),
            ),
            Self::Unsupported(missing) => (
                "unsupported-host",
                missing.iter().map(|m| m.code.to_string()).collect::<Vec<_>>().join(" "),
                "run `stockade doctor`: it says what each missing layer costs and how to get it".into(),
            ),
            Self::Program(error) => (
                "program-missing",
                error.path.display().to_string(),
                "install stockade-worker and stockade-compiler beside stockade, or build with `cargo xtask build`"
                    .into(),
            ),
            Self::State { path, .. } => (
                "state-folder",
                path.display().to_string(),
                "name a folder that only you can write to with --state".into(),
            ),
            Self::Audit(error @ AuditError::Thread(_)) => ("threads", "host".into(), error.next_step().into()),
            Self::Audit(error) => ("audit-log", "audit".into(), error.next_step().into()),
            Self::Memory(_) => ("memory", "host".into(), "make memory free on this machine".into()),
            Self::Sentinel(_) => {
                ("threads", "host".into(), "allow this process one more thread and descriptor".into())
            }
            Self::Launch(error) => ("launch-failed", "worker".into(), error.next_step().into()),
            Self::Boot(BootError::Forbidden(name, _)) => (
                "forbidden-call",
                name.clone(),
                "the plugin's code tried this while it was loaded: treat it as hostile".into(),
            ),
            Self::Boot(BootError::Os(_, error)) if shortage_of(error).is_some() => {
                ("not-attested", "host".into(), shortage_of(error).unwrap_or_default().into())
            }
            Self::Boot(BootError::Ended) => (
                "not-attested",
                "worker".into(),
                "something ended it as it started: memory, a limit, a signal; see the kernel's log, and try again"
                    .into(),
            ),
            Self::Boot(_) => (
                "not-attested",
                "worker".into(),
                "host and worker must come from the same build; run `stockade doctor`".into(),
            ),
            Self::Component { fault, .. } => (
                compile::code(*fault),
                "component".into(),
                component_next_step(*fault).into(),
            ),
            Self::CompileCap { .. } => (
                "compile-cap",
                "component".into(),
                "the component is hostile or too large to compile; make it smaller".into(),
            ),
            Self::AboveCeiling { scope, .. } => (
                "above-ceiling",
                format!("grant {scope}"),
                "use a plugin type whose profile can have it, or do without".into(),
            ),
            Self::Forbidden { scope, .. } => (
                "forbidden-by-policy",
                format!("grant {scope}"),
                "do without; whoever keeps the organisation's policy can change the rule".into(),
            ),
            Self::AbovePolicy { field, max, .. } => {
                ("above-policy", field.clone(), format!("ask for at most {max}"))
            }
            Self::CheckpointUrl { .. } => {
                ("bad-checkpoint-url", "audit.urls".into(), "correct the address, or remove it".into())
            }
            Self::Distrusted { plugin, why } => {
                let (code, next_step) = match why {
                    Distrust::Unsigned { .. } => (
                        "publisher-not-signed",
                        "get it from its publisher, signed; or name the key that has signed it in the policy, if you \
                         trust it",
                    ),
                    Distrust::UnknownPublisher { .. } => {
                        ("unknown-publisher", "name the publisher and its keys in the policy, if you trust it")
                    }
                    Distrust::Revoked { .. } => ("revoked", "do not use it: get another version from its publisher"),
                };
                (code, format!("plugin {plugin}"), next_step.into())
            }
            Self::AddressRange { range } => (
                "addresses-not-allowed",
                format!("allow_addresses {range}"),
                "have a rule of the policy open it (addresses), or do without".into(),
            ),
            Self::Approvals(error) => {
                let problem = error.problem();
                (problem.code, problem.field, problem.next_step)
            }
            Self::Withdrawn { plugin } => (
                "approval-ended",
                format!("plugin {plugin}"),
                "load it anew: it runs without what was approved; or have it approved again".into(),
            ),
            Self::TooManyGrants { scope, .. } => (
                "too-many-grants",
                format!("grant {scope}"),
                "grant a common parent instead of many directories".into(),
            ),
            Self::GrantDirectory { path, source } => (
                match source.kind() {
                    io::ErrorKind::NotFound => "grant-missing",
                    io::ErrorKind::NotADirectory => "grant-not-a-directory",
                    _ => "grant-unreadable",
                },
                path.display().to_string(),
                "grant a directory that exists and that you can read".into(),
            ),
            Self::GrantConflict { root } => (
                "grant-conflict",
                root.to_string(),
                "grant the same directory, or another place in the plugin's view".into(),
            ),
            Self::Limit { field, max } => {
                ("limit-above-maximum", (*field).into(), format!("ask for at most {max}"))
            }
            Self::Config { key } => (
                "config-too-large",
                format!("config {key}"),
                "give fewer or shorter values; put large ones into a file that the plugin may read".into(),
            ),
            Self::Secret { name, .. } => (
                "secret-unavailable",
                format!("secret {name}"),
                "name a file, a variable or a program that has it, or do not grant it".into(),
            ),
            Self::Store(error) => {
                let (code, next_step) = match error {
                    StoreError::Name(_) => ("bad-store", "name it in letters, digits, -, _ and ."),
                    StoreError::Taken { .. } => ("store-taken", "give each plugin a store of its own"),
                    StoreError::Broken { .. } => {
                        ("store-broken", "see that this user can write there; a damaged file can be moved away")
                    }
                };
                (code, "store".into(), next_step.into())
            }
            Self::Model { name, source } => (
                "model-unavailable",
                format!("model {name}"),
                match source {
                    ModelError::Missing => "set the model up (--models), or do not grant it",
                    _ => "put right what is said of the model (--models)",
                }
                .into(),
            ),
            Self::History(_) => (
                "history-broken",
                "history.sqlite".into(),
                "make the state folder writable; where the file is broken, move it away and a new one is begun".into(),
            ),
            Self::Ledger(_) => (
                "ledger-broken",
                "ledger.sqlite".into(),
                "see that this user can write to the state folder; without its books a plugin with a budget does not run"
                    .into(),
            ),
            Self::Authority { .. } => (
                "not-a-certificate",
                "certificate authorities".into(),
                "give a file in PEM form, with BEGIN CERTIFICATE in it".into(),
            ),
            Self::Stopped => ("stopped", "host".into(), "build a new host".into()),
        };
        Problem { code, field, message: self.chain(), next_step }
    }
}

/// What to do where the host has run short of something.
fn shortage_of(error: &io::Error) -> Option<&'static str> {
    shortage(nix::Error::from_raw(error.raw_os_error()?))
}

const fn component_next_step(fault: CompileFault) -> &'static str {
    match fault {
        CompileFault::NotWasm => "give a WebAssembly component",
        CompileFault::CoreModule => "turn the module into a component with `wasm-tools component new`",
        CompileFault::Invalid => "build it for WASI 0.2 without experimental proposals",
        CompileFault::TooLarge => "make it smaller: fewer imports, exports and types",
        CompileFault::Import => "build it against stockade:plugin 0.1 and WASI 0.2 only",
        CompileFault::Artifact => {
            "give the plugin more memory; or remove the artifact cache and load it again"
        }
        CompileFault::Internal => "report this; it is a bug",
    }
}

/// Checks a limit that somebody asked for.
pub(crate) fn memory_limit(asked: Option<u64>, limits: &Limits) -> Result<u64, HostError> {
    match asked {
        Some(bytes) if bytes > limits.memory_bytes_max && stands("load.memory-max") => {
            Err(HostError::Limit { field: "memory", max: limits.memory_bytes_max })
        }
        Some(bytes) => Ok(bytes),
        None => Ok(limits.memory_bytes),
    }
}

/// Likewise for a call's deadline.
pub(crate) fn deadline(asked: Option<Duration>, limits: &Limits) -> Result<Duration, HostError> {
    let max = Duration::from_millis(limits.deadline_ms_max);
    match asked {
        Some(time) if time > max && stands("call.deadline-max") => {
            Err(HostError::Limit { field: "deadline", max: limits.deadline_ms_max })
        }
        Some(time) => Ok(time),
        None => Ok(Duration::from_millis(limits.deadline_ms)),
    }
}

#[cfg(test)]
mod tests {
    use stockade_policy::{PluginType, Profile};

    use super::*;

    #[test]
    fn what_is_above_a_profiles_maximum_is_refused() {
        let limits = &Profile::of(PluginType::Node).limits;
        let most = Duration::from_millis(limits.deadline_ms_max);
        assert_eq!(memory_limit(Some(limits.memory_bytes_max), limits).unwrap(), limits.memory_bytes_max);
        assert_eq!(deadline(Some(most), limits).unwrap(), most);
        let problem = memory_limit(Some(limits.memory_bytes_max + 1), limits).unwrap_err().problem();
        assert_eq!((problem.code, problem.field.as_str()), ("limit-above-maximum", "memory"));
        let problem = deadline(Some(most + Duration::from_millis(1)), limits).unwrap_err().problem();
        assert_eq!((problem.code, problem.field.as_str()), ("limit-above-maximum", "deadline"));
    }
}

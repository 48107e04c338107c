use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::{Budget, Capability, PluginType};

/// A profile document: what plugins of one type get, can get, and can use up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    format: u32,
    /// Whose profile it is.
    #[serde(rename = "type")]
    pub plugin_type: PluginType,
    /// Raised with every change of the document.
    pub version: u32,
    /// What it is for, in a plain sentence.
    pub purpose: String,
    /// The worker's seccomp filter, by name.
    pub filter: String,
    /// Granted without being asked for.
    pub always: Vec<Capability>,
    /// Granted for each resource that the manifest asks for.
    pub on_request: Vec<Capability>,
    /// Granted when an operator says so, and for how many resources at most.
    pub ceiling: BTreeMap<Capability, u32>,
    /// What one worker can use up.
    pub limits: Limits,
    /// What a plugin may have others do in one call, when nobody says otherwise.
    pub per_call: Budget,
    /// What it may have others do in a day, which begins with what it does first.
    pub per_day: Budget,
}

/// What one worker can use up. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Committed memory (RLIMIT_DATA), when nobody says otherwise.
    pub memory_bytes: u64,
    /// The most memory that an operator can ask for.
    pub memory_bytes_max: u64,
    /// Wall clock of one call in milliseconds, when nobody says otherwise.
    pub deadline_ms: u64,
    /// The longest deadline that an operator can ask for.
    pub deadline_ms_max: u64,
    /// Processor time of one worker process (RLIMIT_CPU), all its calls together.
    pub cpu_seconds: u64,
    /// Descriptors that the worker can hold (RLIMIT_NOFILE).
    pub open_files: u64,
    /// Log lines a second; more are counted and dropped.
    pub log_lines_per_second: u32,
    /// Bytes by which a plugin may make the granted directories grow, all together, when nobody says otherwise.
    pub written_bytes: u64,
    /// Files and directories that it may make there, less those that it removes.
    pub written_files: u32,
    /// Requests that a plugin may send in a second.
    pub http_requests_per_second: u32,
    /// Bytes in the body of one request.
    pub http_request_bytes: u64,
    /// Bytes in the body of one response.
    pub http_response_bytes: u64,
    /// Bytes that a plugin's store may hold: keys, values, and 64 for each entry.
    pub kv_bytes: u64,
}

/// Why a profile document is not one.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Not TOML, an unknown or missing key, a value of the wrong type.
    #[error("the profile document does not parse")]
    Syntax(#[from] toml::de::Error),
    /// Written for another version of this program.
    #[error("profile format {0} is not known here; this version reads format 1")]
    Format(u32),
    /// A capability that stands in two lists, or twice in one, has two meanings.
    #[error("capability {0} stands in the lists more than once")]
    Ambiguous(Capability),
    /// What is granted unasked has no resource to name.
    #[error("capability {0} needs a resource and cannot be granted to everybody")]
    NoResource(Capability),
    /// A default above its own maximum.
    #[error("limit {0} is above its maximum")]
    Limit(&'static str),
}

impl Profile {
    /// The built-in profile of a plugin type.
    pub fn of(plugin_type: PluginType) -> &'static Profile {
        static NODE: LazyLock<Profile> = LazyLock::new(|| built_in(include_str!("../profiles/node.toml")));
        static INTEGRATION: LazyLock<Profile> =
            LazyLock::new(|| built_in(include_str!("../profiles/integration.toml")));
        static AGENT: LazyLock<Profile> = LazyLock::new(|| built_in(include_str!("../profiles/agent.toml")));
        static QUALITY_GATE: LazyLock<Profile> =
            LazyLock::new(|| built_in(include_str!("../profiles/quality_gate.toml")));
        match plugin_type {
            PluginType::Node => &NODE,
            PluginType::Integration => &INTEGRATION,
            PluginType::Agent => &AGENT,
            PluginType::QualityGate => &QUALITY_GATE,
        }
    }

    /// Reads and checks a profile document.
    pub fn parse(text: &str) -> Result<Profile, ProfileError> {
        let profile: Profile = toml::from_str(text)?;
        if profile.format != 1 {
            return Err(ProfileError::Format(profile.format));
        }
        for capability in Capability::ALL {
            let listed = profile.always.iter().chain(&profile.on_request).chain(profile.ceiling.keys());
            if listed.filter(|&&listed| listed == capability).count() > 1 {
                return Err(ProfileError::Ambiguous(capability));
            }
            if capability.takes_resource() && profile.always.contains(&capability) {
                return Err(ProfileError::NoResource(capability));
            }
        }
        let limits = &profile.limits;
        if limits.memory_bytes > limits.memory_bytes_max {
            return Err(ProfileError::Limit("memory_bytes"));
        }
        if limits.deadline_ms > limits.deadline_ms_max {
            return Err(ProfileError::Limit("deadline_ms"));
        }
        Ok(profile)
    }
}

fn built_in(text: &str) -> Profile {
    Profile::parse(text).unwrap_or_else(|error| panic!("a built-in profile: {error}"))
}

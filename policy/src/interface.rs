use crate::Capability;

/// Who stands behind an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// The worker implements it; reaching resources through it is decided ask by ask.
    Provided(Option<Capability>),
    /// It links, every use of it is refused and recorded under this operation.
    Refused(&'static str),
}

/// An interface that a component may import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Package and interface without the version: `wasi:clocks/monotonic-clock`.
    pub name: &'static str,
    /// Who stands behind it.
    pub support: Support,
}

const fn provided(name: &'static str, capability: Option<Capability>) -> Interface {
    Interface { name, support: Support::Provided(capability) }
}

const fn refused(name: &'static str, operation: &'static str) -> Interface {
    Interface { name, support: Support::Refused(operation) }
}

/// Everything that a component may import; all of WASI 0.2 is here, so every stock toolchain's
/// output links.
static KNOWN: &[Interface] = &[
    provided("stockade:plugin/log", Some(Capability::Log)),
    provided("stockade:plugin/config", Some(Capability::Config)),
    provided("stockade:plugin/tools", Some(Capability::Tool)),
    provided("stockade:plugin/model", Some(Capability::Model)),
    provided("wasi:io/error", None),
    provided("wasi:io/poll", None),
    provided("wasi:io/streams", None),
    provided("wasi:clocks/monotonic-clock", Some(Capability::Clock)),
    provided("wasi:clocks/wall-clock", Some(Capability::Clock)),
    refused("wasi:clocks/timezone", "clock"),
    provided("wasi:random/random", Some(Capability::Random)),
    provided("wasi:random/insecure", Some(Capability::Random)),
    provided("wasi:random/insecure-seed", Some(Capability::Random)),
    provided("wasi:cli/environment", None),
    provided("wasi:cli/exit", None),
    provided("wasi:cli/stdin", None),
    provided("wasi:cli/stdout", Some(Capability::Log)),
    provided("wasi:cli/stderr", Some(Capability::Log)),
    provided("wasi:cli/terminal-input", None),
    provided("wasi:cli/terminal-output", None),
    provided("wasi:cli/terminal-stdin", None),
    provided("wasi:cli/terminal-stdout", None),
    provided("wasi:cli/terminal-stderr", None),
    provided("wasi:filesystem/types", Some(Capability::FsRead)),
    provided("wasi:filesystem/preopens", Some(Capability::FsRead)),
    refused("wasi:sockets/network", "socket"),
    refused("wasi:sockets/instance-network", "socket"),
    refused("wasi:sockets/ip-name-lookup", "socket"),
    refused("wasi:sockets/tcp", "socket"),
    refused("wasi:sockets/tcp-create-socket", "socket"),
    refused("wasi:sockets/udp", "socket"),
    refused("wasi:sockets/udp-create-socket", "socket"),
    provided("wasi:http/types", Some(Capability::Http)),
    provided("wasi:http/outgoing-handler", Some(Capability::Http)),
    refused("wasi:http/incoming-handler", "http"),
    provided("wasi:keyvalue/store", Some(Capability::Kv)),
    provided("wasi:keyvalue/atomics", Some(Capability::Kv)),
    provided("wasi:keyvalue/batch", Some(Capability::Kv)),
];

/// The draft of `wasi:keyvalue` that there is.
const KEYVALUE: &str = "0.2.0-draft2";

/// Looks an import up by its name, version and all (`wasi:io/streams@0.2.6`): the version decides only
/// between 0.2 (known, whatever the patch) and any other line (unknown). `stockade:plugin` is known
/// as 0.1, `wasi:keyvalue`, which is no part of WASI 0.2 yet, as the one draft that others have too.
pub fn interface(import: &str) -> Option<Interface> {
    let (name, version) = import.split_once('@')?;
    if name.starts_with("wasi:keyvalue/") {
        return KNOWN.iter().find(|known| known.name == name && version == KEYVALUE).copied();
    }
    let line = if name.starts_with("wasi:") { "0.2." } else { "0.1." };
    let patch = version.strip_prefix(line)?;
    if patch.is_empty() || !patch.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    KNOWN.iter().find(|known| known.name == name).copied()
}

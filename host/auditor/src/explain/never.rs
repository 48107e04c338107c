//! What nobody should grant, and what nobody can: as data.

/// Names and addresses under which clouds hand a machine its own credentials.
pub(super) const METADATA: [&str; 6] = [
    "169.254.169.254",
    "169.254.170.2",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "100.100.100.200",
    "metadata.azure.internal",
];

/// Addresses of the same, as reasons have them.
const METADATA_ADDRESSES: [&str; 4] =
    ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"];

/// First parts of paths that belong to the system.
const SYSTEM: [&str; 6] = ["etc", "proc", "sys", "dev", "boot", "run"];
/// Parts of paths that hold keys, wherever they are.
const KEYS: [&str; 6] = [".ssh", ".aws", ".gnupg", ".kube", ".docker", ".netrc"];

/// What a type of plugin can have: without asking, by asking, with an approval. What stands nowhere is above the ceiling.
/// A test holds this against docs/profiles.md.
pub(super) struct Ceiling {
    pub(super) plugin_type: &'static str,
    pub(super) on_request: &'static [&'static str],
    pub(super) approved: &'static [&'static str],
}

/// What every type has.
pub(super) const ALWAYS: [&str; 3] = ["log", "clock", "random"];

pub(super) const CEILINGS: [Ceiling; 4] = [
    Ceiling { plugin_type: "node", on_request: &["config"], approved: &[] },
    Ceiling { plugin_type: "integration", on_request: &["config"], approved: &["http", "secret", "kv"] },
    Ceiling {
        plugin_type: "agent",
        on_request: &["config"],
        approved: &["tool", "model", "kv", "secret", "fs.read", "fs.write", "fs.create", "fs.delete"],
    },
    Ceiling {
        plugin_type: "quality_gate",
        on_request: &["config"],
        approved: &["fs.read", "fs.write", "fs.create"],
    },
];

/// Why nobody should grant this, where that is so.
pub(super) fn should_not(operation: &str, resource: &str, reason: &str) -> Option<&'static str> {
    if operation == "http" {
        let named = METADATA.iter().any(|host| host_of(resource).is_some_and(|of| of == *host));
        let resolved = METADATA_ADDRESSES.iter().any(|address| {
            reason.split(|c: char| c.is_whitespace() || c == ',').any(|word| word == *address)
        });
        return (named || resolved).then_some(
            "it is the address of a cloud's metadata, and whoever reaches it has the machine's own credentials",
        );
    }
    if operation.starts_with("fs.") {
        let parts: Vec<&str> = resource.split('/').filter(|part| !part.is_empty()).collect();
        return match parts[..] {
            [] => Some("it is the whole of what the plugin can see"),
            ["root", ..] | ["home"] | ["home", _] | ["Users"] | ["Users", _] => {
                Some("it is a whole home folder")
            }
            _ if parts.iter().any(|part| KEYS.contains(part)) => Some("it is a folder of keys"),
            [first, ..] if SYSTEM.contains(&first) => Some("it is a folder of the system"),
            _ => None,
        };
    }
    None
}

/// The host of a request, as `GET https://host:8443/path` has it.
fn host_of(resource: &str) -> Option<&str> {
    let authority = resource.split_once("://")?.1.split('/').next()?;
    if let Some(end) = authority.find(']') {
        return authority.get(..=end);
    }
    authority.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_homes_keys_and_the_system_are_for_nobody() {
        for (operation, resource, reason) in [
            ("http", "GET http://169.254.169.254/latest/meta-data/", ""),
            ("http", "GET http://[fd00:ec2::254]:80/", ""),
            ("http", "GET https://metadata.google.internal/x", ""),
            (
                "http",
                "GET https://rebound.example/",
                "the host is at 169.254.169.254, which is link-local, where",
            ),
            ("fs.read", "/home/ann", ""),
            ("fs.read", "/home/ann/.ssh/id_ed25519", ""),
            ("fs.read", "/etc/passwd", ""),
            ("fs.read", "/", ""),
        ] {
            assert!(should_not(operation, resource, reason).is_some(), "{operation} {resource}");
        }
        for (operation, resource) in [
            ("http", "GET https://api.example.org/169.254.169.254"),
            ("http", "GET https://169.254.169.254.example/"),
            ("fs.read", "/src/etc/passwd"),
            ("fs.read", "/home/ann/project/src"),
            ("kv", ""),
        ] {
            assert_eq!(should_not(operation, resource, ""), None, "{operation} {resource}");
        }
    }

    #[test]
    fn the_ceilings_are_those_of_the_documentation() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/profiles.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        let names =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        let mut seen = 0;
        for ceiling in &CEILINGS {
            let start = format!("| `{}` |", ceiling.plugin_type);
            let row = docs.lines().find(|line| line.starts_with(&start)).unwrap();
            let cells: Vec<&str> = row.split('|').collect();
            assert_eq!(names(cells[4]), ceiling.on_request, "{row}");
            assert_eq!(names(cells[5]), ceiling.approved, "{row}");
            seen += 1;
        }
        assert_eq!(seen, 4);
        let always: Vec<String> = ALWAYS.iter().map(|name| format!("`{name}`")).collect();
        assert!(
            docs.contains(&format!("Each has {}, {} and {} without asking", always[0], always[1], always[2]))
        );
    }
}

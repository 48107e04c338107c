//! The profile documents, and the table of interfaces.

use stockade_policy::{
    Capability, Interface, PluginType, Policy, Profile, ProfileError, PublicKey, Support, interface,
};

#[test]
fn the_four_profiles_are_what_their_types_promise() {
    for plugin_type in PluginType::ALL {
        let profile = Profile::of(plugin_type);
        assert_eq!(profile.plugin_type, plugin_type);
        assert_eq!(profile.filter, plugin_type.as_str());
        assert!(profile.version >= 1 && !profile.purpose.is_empty());
        let limits = profile.limits;
        assert!((16 << 20..=limits.memory_bytes_max).contains(&limits.memory_bytes));
        assert!(limits.memory_bytes_max <= 4 << 30);
        assert!((1..=limits.deadline_ms_max).contains(&limits.deadline_ms));
        assert!((3..=256).contains(&limits.open_files));
        assert!(limits.cpu_seconds > 0 && limits.log_lines_per_second > 0);
        assert_eq!(profile.always, [Capability::Log, Capability::Clock, Capability::Random]);
    }
    let has = |plugin_type, capability| {
        let profile = Profile::of(plugin_type);
        profile.ceiling.contains_key(&capability) || profile.on_request.contains(&capability)
    };
    use PluginType::{Agent, Integration, QualityGate};
    for (capability, who) in [
        (Capability::FsRead, &[Agent, QualityGate][..]),
        (Capability::FsWrite, &[Agent, QualityGate]),
        (Capability::FsCreate, &[Agent, QualityGate]),
        (Capability::FsDelete, &[Agent]),
        (Capability::Http, &[Integration]),
        (Capability::Secret, &[Integration, Agent]),
        (Capability::Tool, &[Agent]),
        (Capability::Model, &[Agent]),
    ] {
        for plugin_type in PluginType::ALL {
            assert_eq!(
                has(plugin_type, capability),
                who.contains(&plugin_type),
                "{plugin_type} and {capability}"
            );
        }
    }
}

const NODE: &str = include_str!("../profiles/node.toml");

fn changed(from: &str, to: &str) -> Result<Profile, ProfileError> {
    assert!(NODE.contains(from), "{from}");
    Profile::parse(&NODE.replacen(from, to, 1))
}

#[test]
fn documents_that_are_not_profiles_are_refused() {
    assert!(Profile::parse(NODE).is_ok());
    let syntax = [
        ("format = 1\n", ""),
        ("format = 1\n", "format = 1\nformat = 1\n"),
        ("format = 1\n", "format = 1\nunknown = 1\n"),
        ("[limits]\n", "[limits]\nunknown = 1\n"),
        ("type = \"node\"", "type = \"nodes\""),
        ("type = \"node\"", "type = \"Node\""),
        ("\"clock\"", "\"clocks\""),
        ("open_files = 16", "open_files = -1"),
        ("open_files = 16", "open_files = 1.5"),
        ("# nothing", "tool = \"many\""),
        ("version = 3", "version = 4294967296"),
    ];
    for (from, to) in syntax {
        assert!(matches!(changed(from, to), Err(ProfileError::Syntax(_))), "{to}");
    }
    assert!(matches!(Profile::parse(""), Err(ProfileError::Syntax(_))));
    assert!(matches!(Profile::parse("\u{feff}"), Err(ProfileError::Syntax(_))));
}

#[test]
fn documents_that_mean_two_things_are_refused() {
    assert!(matches!(changed("format = 1\n", "format = 2\n"), Err(ProfileError::Format(2))));
    assert!(matches!(changed("# nothing", "config = 1"), Err(ProfileError::Ambiguous(Capability::Config))));
    assert!(matches!(changed("# nothing", "log = 1"), Err(ProfileError::Ambiguous(Capability::Log))));
    assert!(matches!(
        changed("[\"config\"]", "[\"clock\"]"),
        Err(ProfileError::Ambiguous(Capability::Clock))
    ));
    assert!(matches!(changed("[\"config\"]", "[\"config\", \"config\"]"), Err(ProfileError::Ambiguous(_))));
    // Always, but of what?
    assert!(matches!(
        changed("\"random\"]", "\"random\", \"fs.read\"]"),
        Err(ProfileError::NoResource(Capability::FsRead))
    ));
    assert!(matches!(
        changed("memory_bytes_max = 1_073_741_824", "memory_bytes_max = 1"),
        Err(ProfileError::Limit("memory_bytes"))
    ));
    assert!(matches!(
        changed("deadline_ms_max = 600_000", "deadline_ms_max = 1"),
        Err(ProfileError::Limit("deadline_ms"))
    ));
}

/// Every interface of WASI 0.2, by package.
const WASI: [(&str, &str); 7] = [
    ("io", "error poll streams"),
    ("clocks", "monotonic-clock wall-clock timezone"),
    ("random", "random insecure insecure-seed"),
    (
        "cli",
        "environment exit stdin stdout stderr terminal-input terminal-output terminal-stdin terminal-stdout \
         terminal-stderr",
    ),
    ("filesystem", "types preopens"),
    ("sockets", "network instance-network ip-name-lookup tcp tcp-create-socket udp udp-create-socket"),
    ("http", "types outgoing-handler incoming-handler"),
];

fn wasi() -> impl Iterator<Item = String> {
    WASI.iter()
        .flat_map(|(package, names)| names.split(' ').map(move |name| format!("wasi:{package}/{name}")))
}

#[test]
fn every_wasi_0_2_import_links_whatever_its_patch() {
    for name in wasi() {
        for patch in [0, 1, 2, 3, 6, 9, 10, 12, 99] {
            let import = format!("{name}@0.2.{patch}");
            assert_eq!(interface(&import).map(|known| known.name), Some(name.as_str()), "{import}");
        }
    }
}

#[test]
fn other_versions_and_other_names_do_not() {
    for name in wasi() {
        for version in [
            "0.1.0",
            "0.3.0",
            "0.3.0-rc-2025-09-16",
            "0.20.0",
            "0.2",
            "0.2.",
            "0.2.0-rc-2023-11-10",
            "0.2.x",
            "0.2.1.1",
            "1.2.0",
            "",
            "0.2.+1",
            "0.2. 1",
            "0.2.1@0.2.1",
        ] {
            assert_eq!(interface(&format!("{name}@{version}")), None, "{name}@{version}");
        }
        assert_eq!(interface(&name), None);
    }
    for import in [
        "",
        "@",
        "@0.2.0",
        "wasi:io/streams@0.2.0 ",
        " wasi:io/streams@0.2.0",
        "WASI:io/streams@0.2.0",
        "wasi:io@0.2.0",
        "wasi:nn/graph@0.2.0",
        "evil:io/streams@0.2.0",
        "stockade:plugin/log@0.2.0",
        "stockade:plugin/tool@0.1.0",
    ] {
        assert_eq!(interface(import), None, "{import:?}");
    }
    assert!(
        interface("stockade:plugin/log@0.1.0").is_some()
            && interface("stockade:plugin/config@0.1.7").is_some()
    );
}

#[test]
fn what_needs_a_socket_or_sends_to_a_plugin_is_refused_and_named() {
    for (import, operation) in [
        ("wasi:sockets/tcp@0.2.0", "socket"),
        ("wasi:sockets/ip-name-lookup@0.2.0", "socket"),
        ("wasi:http/incoming-handler@0.2.0", "http"),
    ] {
        let Some(Interface { support: Support::Refused(named), .. }) = interface(import) else {
            panic!("{import}")
        };
        assert_eq!(named, operation);
    }
}

#[test]
fn a_publishers_keys_are_named_or_it_is_told_where_they_are_not() {
    let key = format!("ed25519:{}", "0a".repeat(32));
    let policy = |text: &str| Policy::parse(&format!("format = 1\nversion = 3\n{text}"));
    let named = policy(&format!("\n[publishers.acme]\nkeys = [\"{key}\", \"{key}\"]\n")).unwrap();
    let signer: PublicKey = key.parse().unwrap();
    assert_eq!(named.publishers["acme"].keys, [signer]);
    assert_eq!(named.wants_signature("acme/deps", &[signer]), None);
    let other = PublicKey::new([1; 32]);
    let wanted = named.wants_signature("acme/deps", &[other]).unwrap().to_string();
    assert_eq!(wanted, "policy v3, rule publishers.acme, line 4");
    // A name that only begins like it, and one that nobody named.
    assert_eq!(named.wants_signature("acme-labs/deps", &[]), None);
    assert_eq!(named.wants_signature("local/deps", &[]), None);
    for (text, code, place) in [
        ("[publishers.Acme]\nkeys = []", "policy-plugin", (3, 13)),
        ("[publishers.acme]\nkeys = []", "policy-key", (3, 13)),
        ("[publishers.acme]\nkeys = [\"ed25519:0A\"]", "policy-key", (4, 9)),
        ("[publishers.acme]\nkey = []", "policy-syntax", (4, 1)),
        ("[publishers]\nacme = 1", "policy-syntax", (4, 8)),
    ] {
        let error = policy(text).unwrap_err();
        assert_eq!((error.fault.code(), (error.line, error.column)), (code, place), "{text}: {error}");
    }
}

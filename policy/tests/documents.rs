//! The profile documents, and the table of interfaces.

use stockade_policy::{
    Capability, Interface, PluginType, Policy, Profile, ProfileError, PublicKey, Signed, Support, interface,
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

const COMPONENT: &str = "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0";

/// How many of these signatures count, until when if there is an end; or why the plugin is not believed.
fn judged(policy: &Policy, plugin: &str, by: &[PublicKey], now: u64) -> String {
    let signed = Signed { plugin, component: COMPONENT, package: Some("sha256:0f"), by };
    let judged = policy.judge(&signed, now);
    match (judged.distrust, judged.until) {
        (Some(why), _) => why.to_string(),
        (None, Some(until)) => format!("{} until {until}", judged.counted.len()),
        (None, None) => judged.counted.len().to_string(),
    }
}

fn keys() -> [PublicKey; 3] {
    [1, 2, 3].map(|byte| PublicKey::new([byte; 32]))
}

#[test]
fn e4_as_many_different_keys_have_to_have_signed_as_are_needed() {
    let [a, b, c] = keys();
    let text = format!("format = 1\nversion = 1\n[publishers.acme]\nkeys = [\"{a}\", \"{b}\"]\nneeded = 2\n");
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(judged(&policy, "acme/x", &[a, b], 0), "2");
    let few =
        "is signed by 1 keys of its publisher, and it takes 2 (policy v1, rule publishers.acme, line 3)";
    assert_eq!(judged(&policy, "acme/x", &[a, c], 0), few);
    assert_eq!(judged(&policy, "acme/x", &[a, a], 0), few, "one key twice");
}

#[test]
fn e5_keys_count_until_their_last_day_is_over() {
    let [a, b, c] = keys();
    let of = |key, day| format!("{{ key = \"{key}\", until = {day} }}");
    let text = format!(
        "format = 1\nversion = 1\n[publishers.acme]\nkeys = [{}, {}, \"{c}\"]\nneeded = 2\n",
        of(a, "1970-01-01"),
        of(b, "1970-01-03")
    );
    let policy = Policy::parse(&text).unwrap();
    const DAY: u64 = 86_400;
    // One of three may end, and then one of the two that are needed does.
    assert_eq!(judged(&policy, "acme/x", &[a, b, c], 0), format!("3 until {}", 3 * DAY));
    assert_eq!(judged(&policy, "acme/x", &[a, c], DAY - 1), format!("2 until {DAY}"));
    assert!(judged(&policy, "acme/x", &[a, c], DAY).starts_with("is signed by 1 keys"));
    assert_eq!(judged(&policy, "acme/x", &[b, c], DAY), format!("2 until {}", 3 * DAY));
}

#[test]
fn e6_what_is_revoked_counts_for_nobody_and_is_not_believed() {
    let [a, b, _] = keys();
    let policy = |revoked: &str| {
        let text =
            format!("[trust]\nrevoked = [\"{revoked}\"]\n[publishers.acme]\nkeys = [\"{a}\", \"{b}\"]\n");
        Policy::parse(&format!("format = 1\nversion = 1\n{text}")).unwrap()
    };
    let key = policy(&a.to_string());
    assert!(judged(&key, "acme/x", &[a], 0).starts_with("is not signed by a key"));
    assert_eq!(judged(&key, "acme/x", &[a, b], 0), "1");
    assert_eq!(judged(&key, "other/x", &[a], 0), "0", "for nobody, not only for its publisher");
    let revoked = "was revoked (policy v1, rule trust, line 3)";
    assert_eq!(judged(&policy(&format!("sha256:{COMPONENT}")), "other/x", &[b], 0), revoked);
    let other = format!("sha256:{}", "00".repeat(32));
    assert_eq!(judged(&policy(&other), "acme/x", &[b], 0), "1");
}

#[test]
fn publishers_whom_nobody_has_named_can_be_kept_out() {
    let policy = |others: &str| {
        Policy::parse(&format!("format = 1\nversion = 1\n[trust]\nothers = \"{others}\"\n")).unwrap()
    };
    assert_eq!(judged(&policy("allow"), "any/x", &keys(), 0), "3");
    let refused = "is of a publisher whom the policy does not name (policy v1, rule trust, line 3)";
    assert_eq!(judged(&policy("refuse"), "any/x", &keys(), 0), refused);
}

#[test]
fn a_publishers_keys_are_named_or_it_is_told_where_they_are_not() {
    let key = format!("ed25519:{}", "0a".repeat(32));
    let policy = |text: &str| Policy::parse(&format!("format = 1\nversion = 3\n{text}"));
    let named = policy(&format!("\n[publishers.acme]\nkeys = [\"{key}\", \"{key}\"]\n")).unwrap();
    let signer: PublicKey = key.parse().unwrap();
    assert_eq!(named.trust.publishers["acme"].keys.len(), 1);
    assert_eq!(judged(&named, "acme/deps", &[signer], 0), "1");
    let other = PublicKey::new([1; 32]);
    let wanted = "is not signed by a key of its publisher (policy v3, rule publishers.acme, line 4)";
    assert_eq!(judged(&named, "acme/deps", &[other], 0), wanted);
    // A name that only begins like it, and one that nobody named.
    assert_eq!(judged(&named, "acme-labs/deps", &[], 0), "0");
    assert_eq!(judged(&named, "local/deps", &[], 0), "0");
    for (text, code, place) in [
        ("[publishers.Acme]\nkeys = []", "policy-plugin", (3, 13)),
        ("[publishers.acme]\nkeys = []", "policy-key", (3, 13)),
        ("[publishers.acme]\nkeys = [\"ed25519:0A\"]", "policy-key", (4, 9)),
        ("[publishers.acme]\nkey = []", "policy-syntax", (4, 1)),
        ("[publishers]\nacme = 1", "policy-syntax", (4, 8)),
        ("[publishers.acme]\nkeys = [1]", "policy-trust", (4, 9)),
        ("[publishers.acme]\nkeys = [{ key = \"x\", until = 2027-01-01 }]", "policy-key", (4, 9)),
        ("[publishers.acme]\nkeys = [{ key = \"x\" }]", "policy-trust", (4, 9)),
        ("[publishers.acme]\nkeys = [{ key = \"x\", until = 2027-01-01T00:00:00Z }]", "policy-trust", (4, 9)),
        ("[trust]\nothers = \"maybe\"", "policy-trust", (4, 10)),
        ("[trust]\nrevoked = [\"sha256:0A\"]", "policy-trust", (4, 12)),
        ("[trust]\nother = 1", "policy-syntax", (4, 1)),
    ] {
        let error = policy(text).unwrap_err();
        assert_eq!((error.fault.code(), (error.line, error.column)), (code, place), "{text}: {error}");
    }
}

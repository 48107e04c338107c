//! Made-up messages, and sessions that stand where a message is legal.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use stockade_ipc::phase::Sender;
use stockade_ipc::{
    Answer, Ask, Bytes, Call, Compile, CompileFault, Compiled, Confined, Entry, Export, FileKind, FsError,
    Hello, HttpBody, HttpFault, HttpField, HttpInterest, HttpRequest, Import, Kind, Load, Loaded, Log,
    LogLevel, Make, NewTime, Outcome, Param, Phase, Phases, Refused, Rejected, Rest, Return, Stat, ToHost,
    ToWorker, ToolError, Trap, WitType, World,
};
use stockade_policy::{Grant, Grants, GuestPath, HttpScheme, PluginType, Rule, Scope, Source};

/// The messages that bring a session to a phase.
pub(crate) fn way_to(phase: Phase) -> &'static [Kind] {
    const WAY: [Kind; 5] = [Kind::Hello, Kind::Confined, Kind::Load, Kind::Loaded, Kind::Call];
    match phase {
        Phase::Boot => &[],
        Phase::Confined => &WAY[..2],
        Phase::Loading => &WAY[..3],
        Phase::Idle => &WAY[..4],
        Phase::Calling => &WAY,
        Phase::Closed => &[Kind::Hello, Kind::Confined, Kind::Load, Kind::Rejected],
    }
}

/// A session in this phase.
pub(crate) fn session(phase: Phase) -> Phases {
    let mut phases = Phases::default();
    for &kind in way_to(phase) {
        phases.check(kind.row().sender, kind, 0).unwrap();
        phases.advance(kind);
    }
    assert_eq!(phases.now(), phase);
    phases
}

/// A session in which this message is legal, and who sends it.
pub(crate) fn session_for(kind: Kind) -> (Sender, Phases) {
    (kind.row().sender, session(kind.row().phases[0]))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,40}", "[a-z/.]{0,20}"]
}

fn fault() -> impl Strategy<Value = CompileFault> {
    prop::sample::select(vec![
        CompileFault::NotWasm,
        CompileFault::CoreModule,
        CompileFault::Invalid,
        CompileFault::TooLarge,
        CompileFault::Import,
        CompileFault::Artifact,
        CompileFault::Internal,
    ])
}

fn param() -> impl Strategy<Value = Param> {
    (text(), any::<u16>()).prop_map(|(name, ty)| Param { name, ty })
}

fn wit_type() -> impl Strategy<Value = WitType> {
    use WitType::*;
    prop_oneof![
        prop::sample::select(vec![Bool, U8, U16, U32, U64, S8, S16, S32, S64, F32, F64, Char, String]),
        any::<u16>().prop_map(List),
        any::<u16>().prop_map(Option),
        vec(any::<u16>(), 0..4).prop_map(Tuple),
        vec(param(), 0..4).prop_map(Record),
        vec((text(), option::of(any::<u16>())), 0..4).prop_map(Variant),
        vec(text(), 0..4).prop_map(Enum),
        vec(text(), 0..4).prop_map(Flags),
        (option::of(any::<u16>()), option::of(any::<u16>())).prop_map(|(ok, err)| Result(ok, err)),
        text().prop_map(Unsupported),
    ]
}

fn world() -> impl Strategy<Value = World> {
    let export = (text(), vec(param(), 0..4), option::of(any::<u16>()));
    let export = export.prop_map(|(name, params, result)| Export { name, params, result });
    let import = text().prop_map(|name| Import { name });
    (vec(import, 0..4), vec(export, 0..4), option::of(text()), vec(wit_type(), 0..8)).prop_map(
        |(imports, exports, tool_interface, types)| World { imports, exports, tool_interface, types },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        text().prop_map(Outcome::Value),
        text().prop_map(|t| Outcome::Error(ToolError::UnknownTool(t))),
        text().prop_map(|t| Outcome::Error(ToolError::InvalidArguments(t))),
        text().prop_map(|t| Outcome::Error(ToolError::Denied(t))),
        text().prop_map(|t| Outcome::Error(ToolError::Failed(t))),
        (text(), text()).prop_map(|(code, message)| Outcome::Trap(Trap { code, message })),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        text().prop_map(|path| Ask::FsOpen { path }),
        text().prop_map(|path| Ask::FsStat { path }),
        (text(), any::<u64>()).prop_map(|(path, after)| Ask::FsList { path, after }),
        text().prop_map(|key| Ask::ConfigGet { key }),
        (text(), make(), any::<bool>(), any::<bool>())
            .prop_map(|(path, make, truncate, read)| Ask::FsOpenWritable { path, make, truncate, read }),
        (any::<u32>(), option::of(any::<u64>()), vec(any::<u8>(), 0..300))
            .prop_map(|(file, at, bytes)| Ask::FsWrite { file, at, bytes: Bytes(bytes) }),
        any::<(u32, u64)>().prop_map(|(file, size)| Ask::FsSetSize { file, size }),
        any::<u32>().prop_map(|file| Ask::FsStatOpen { file }),
        any::<u32>().prop_map(|file| Ask::FsSync { file }),
        any::<u32>().prop_map(|file| Ask::FsClose { file }),
        (text(), time(), time()).prop_map(|(path, accessed, modified)| Ask::FsSetTimes {
            path,
            accessed,
            modified
        }),
        text().prop_map(|path| Ask::FsMakeDirectory { path }),
        (text(), any::<bool>()).prop_map(|(path, directory)| Ask::FsRemove { path, directory }),
        (text(), text(), any::<bool>()).prop_map(|(from, to, keep)| Ask::FsName { from, to, keep }),
        (request(), any::<bool>()).prop_map(|(request, wait)| Ask::HttpSend { request, wait }),
        (any::<u32>(), vec(any::<u8>(), 0..300))
            .prop_map(|(request, bytes)| Ask::HttpWrite { request, bytes: Bytes(bytes) }),
        (any::<u32>(), fields()).prop_map(|(request, trailers)| Ask::HttpFinish { request, trailers }),
        any::<(u32, bool)>().prop_map(|(request, wait)| Ask::HttpHead { request, wait }),
        any::<(u32, bool)>().prop_map(|(request, wait)| Ask::HttpRead { request, wait }),
        (vec(interest(), 0..4), option::of(any::<u64>()))
            .prop_map(|(on, nanoseconds)| Ask::HttpWait { on, nanoseconds }),
        any::<u32>().prop_map(|request| Ask::HttpClose { request }),
        text().prop_map(|key| Ask::KvGet { key }),
        fields().prop_map(|entries| Ask::KvSet { entries }),
        vec(text(), 0..4).prop_map(|keys| Ask::KvDelete { keys }),
        any::<u64>().prop_map(|after| Ask::KvKeys { after }),
        (text(), any::<u64>()).prop_map(|(key, delta)| Ask::KvAdd { key, delta }),
        (text(), option::of(any::<u64>()), vec(any::<u8>(), 0..30))
            .prop_map(|(key, seen, value)| Ask::KvSwap { key, seen, value: Bytes(value) }),
    ]
}

fn fields() -> impl Strategy<Value = Vec<HttpField>> {
    vec((text(), vec(any::<u8>(), 0..30).prop_map(Bytes)), 0..4)
}

fn request() -> impl Strategy<Value = HttpRequest> {
    let scheme = prop::sample::select(vec![HttpScheme::Https, HttpScheme::Http]);
    let words = (text(), scheme, text(), text());
    let body = prop_oneof![
        Just(HttpBody::None),
        vec(any::<u8>(), 0..30).prop_map(|bytes| HttpBody::Whole(Bytes(bytes))),
        Just(HttpBody::Follows),
    ];
    (words, fields(), body, any::<[Option<u64>; 3]>()).prop_map(
        |((method, scheme, authority, path), fields, body, patience)| HttpRequest {
            method,
            scheme,
            authority,
            path,
            fields,
            body,
            patience,
        },
    )
}

fn interest() -> impl Strategy<Value = HttpInterest> {
    prop_oneof![any::<u32>().prop_map(HttpInterest::Arrival), any::<u32>().prop_map(HttpInterest::Room)]
}

fn level() -> impl Strategy<Value = LogLevel> {
    prop::sample::select(vec![
        LogLevel::Trace,
        LogLevel::Debug,
        LogLevel::Info,
        LogLevel::Warn,
        LogLevel::Error,
    ])
}

pub(crate) fn to_host() -> impl Strategy<Value = ToHost> {
    prop_oneof![
        (text(), any::<[u8; 32]>())
            .prop_map(|(filter, filter_digest)| Hello { filter, filter_digest }.into()),
        Just(ToHost::Confined(Confined)),
        Just(ToHost::Loaded(Loaded)),
        (fault(), text()).prop_map(|(fault, message)| Rejected { fault, message }.into()),
        world().prop_map(|world| Compiled { world }.into()),
        (any::<u64>(), outcome()).prop_map(|(call, outcome)| Return { call, outcome }.into()),
        ask().prop_map(ToHost::Ask),
        (level(), text(), vec((text(), text()), 0..3)).prop_map(|(level, line, fields)| Log {
            level,
            line,
            fields
        }
        .into()),
        (text(), text(), text(), text()).prop_map(|(operation, resource, rule, reason)| {
            Refused { operation, resource, rule: Rule::built_in(rule), reason }.into()
        }),
    ]
}

fn grants() -> impl Strategy<Value = Grants> {
    let scope = prop_oneof![
        Just(Scope::FsRead { root: GuestPath::parse("/src").unwrap() }),
        Just(Scope::Log),
        text().prop_map(|key| Scope::Config { key }),
        prop::sample::select(vec!["a.org", "GET,POST http://*.a.org:81/b"])
            .prop_map(|to| Scope::Http { to: to.parse().unwrap() }),
    ];
    let source = prop_oneof![
        Just(Source::CommandLine),
        Just(Source::Embedder),
        any::<u32>().prop_map(|version| Source::Profile { plugin_type: PluginType::Agent, version }),
        (any::<u32>(), text(), any::<u32>()).prop_map(|(version, id, line)| Source::Policy {
            version,
            id,
            line
        }),
        (any::<u64>(), text()).prop_map(|(number, by)| Source::Approval { number, by }),
    ];
    let grant =
        (scope, text(), source).prop_map(|(scope, id, source)| Grant { scope, rule: Rule { id, source } });
    (vec(grant, 0..5), 0..3_usize).prop_map(|(list, forbidden)| {
        let mut grants: Grants = list.iter().cloned().collect();
        list.into_iter().take(forbidden).for_each(|grant| grants.forbid(grant));
        grants
    })
}

fn kind() -> impl Strategy<Value = FileKind> {
    prop::sample::select(vec![FileKind::File, FileKind::Directory, FileKind::Symlink, FileKind::Other])
}

fn stat() -> impl Strategy<Value = Stat> {
    let times = (any::<(i64, u32)>(), any::<(i64, u32)>(), any::<(i64, u32)>());
    (kind(), any::<u64>(), any::<u64>(), times, any::<(u64, u64)>()).prop_map(
        |(kind, size, links, (accessed, modified, changed), identity)| Stat {
            kind,
            size,
            links,
            accessed,
            modified,
            changed,
            identity,
        },
    )
}

fn make() -> impl Strategy<Value = Make> {
    prop::sample::select(vec![Make::Never, Make::IfMissing, Make::Always])
}

fn time() -> impl Strategy<Value = NewTime> {
    prop_oneof![
        Just(NewTime::Keep),
        Just(NewTime::Now),
        any::<(i64, u32)>().prop_map(|(seconds, nanoseconds)| NewTime::At(seconds, nanoseconds)),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let errors = vec![FsError::NotFound, FsError::NotDirectory, FsError::Exists, FsError::Quota, FsError::Io];
    let identity = any::<Option<(u64, u64)>>();
    let entry = (text(), kind(), identity).prop_map(|(name, kind, identity)| Entry { name, kind, identity });
    prop_oneof![
        Just(Answer::Denied),
        prop::sample::select(errors).prop_map(Answer::FsFailed),
        stat().prop_map(Answer::FsOpened),
        stat().prop_map(Answer::FsStat),
        (vec(entry, 0..6), option::of(any::<u64>()))
            .prop_map(|(entries, next)| Answer::FsEntries { entries, next }),
        option::of(text()).prop_map(Answer::Config),
        (any::<u32>(), stat()).prop_map(|(file, stat)| Answer::FsWritable(file, stat)),
        any::<u32>().prop_map(Answer::FsWritten),
        Just(Answer::FsDone),
        any::<u32>().prop_map(Answer::HttpSent),
        Just(Answer::HttpFailed(HttpFault::DnsError)),
        any::<u32>().prop_map(Answer::HttpRoom),
        Just(Answer::HttpPending),
        (any::<(u32, u16)>(), fields(), vec(any::<u8>(), 0..300), option::of(fields())).prop_map(
            |((request, status), fields, first, end)| {
                Answer::HttpHead { request, status, fields, first: Bytes(first), end }
            }
        ),
        (vec(any::<u8>(), 0..300), option::of(fields()))
            .prop_map(|(bytes, end)| Answer::HttpBody { bytes: Bytes(bytes), end }),
        vec(any::<bool>(), 0..8).prop_map(Answer::HttpReady),
        option::of((vec(any::<u8>(), 0..30).prop_map(Bytes), any::<u64>())).prop_map(Answer::KvValue),
        (vec(text(), 0..4), option::of(any::<u64>())).prop_map(|(keys, next)| Answer::KvKeys { keys, next }),
        option::of(any::<u64>()).prop_map(Answer::KvSum),
        prop::sample::select(vec![Answer::KvDone, Answer::KvLost, Answer::KvFull, Answer::KvFailed]),
    ]
}

pub(crate) fn to_worker() -> impl Strategy<Value = ToWorker> {
    prop_oneof![
        (grants(), option::of(text()), any::<bool>(), any::<u64>()).prop_map(
            |(grants, tool_interface, reuse_instance, memory_bytes)| {
                Load { grants, tool_interface, reuse_instance, memory_bytes }.into()
            }
        ),
        any::<u64>().prop_map(|component_len| Compile { component_len }.into()),
        (any::<u64>(), text(), text())
            .prop_map(|(call, tool, arguments)| Call { call, tool, arguments }.into()),
        answer().prop_map(ToWorker::Answer),
        Just(Rest.into()),
    ]
}

//! Real frames, one of each kind and shape: where the fuzzer starts, and what it builds with.

use stockade_audit::{Decision, Layer, Log as AuditLog, Plugin, Record};
use stockade_ipc::{
    Answer, Ask, Bytes, Call, Compile, CompileFault, Compiled, Confined, Delegate, Delegated, Entry, Export,
    FileKind, FsError, FunctionCall, Hello, HttpBody, HttpInterest, HttpRequest, Import, Kind, Load, Loaded,
    Log, LogLevel, Make, ModelFunction, ModelMessage, ModelReply, ModelRequest, ModelResponse, NewTime,
    Outcome, PROTOCOL, Param, Refused, Rejected, Rest, Return, Stat, ToHost, ToWorker, ToolError, ToolInfo,
    Trap, WitType, World,
};
use stockade_package::archive::{Interfaces, Parts, pack};
use stockade_policy::{Budget, Grant, Grants, GuestPath, HttpScheme, Rule, Scope, Source};

use crate::package::COMPONENT;
use crate::session::CALL;

fn world() -> World {
    let param = |name: &str, ty| Param { name: name.into(), ty };
    World {
        imports: vec![Import { name: "wasi:cli/stdout@0.2.6".into() }, Import { name: "evil:x/y".into() }],
        exports: vec![
            Export { name: "count".into(), params: vec![param("text", 0), param("n", 3)], result: Some(8) },
            Export { name: "init".into(), params: vec![], result: None },
        ],
        tool_interface: None,
        types: vec![
            WitType::String,
            WitType::U64,
            WitType::F64,
            WitType::Option(1),
            WitType::List(0),
            WitType::Tuple(vec![0, 1, 2]),
            WitType::Record(vec![param("a", 0), param("b", 5)]),
            WitType::Variant(vec![("none".into(), None), ("some".into(), Some(6))]),
            WitType::Result(Some(7), Some(0)),
            WitType::Enum(vec!["red".into(), "green".into()]),
            WitType::Flags(vec!["r".into(), "w".into()]),
            WitType::Unsupported("own<x>".into()),
        ],
    }
}

fn returned(outcome: Outcome) -> ToHost {
    Return { call: CALL, outcome }.into()
}

/// What a confined program says, by kind.
pub fn to_host() -> Vec<ToHost> {
    let text = |text: &str| text.to_owned();
    let path = text;
    let mut tool_interface = world();
    tool_interface.tool_interface = Some("stockade:plugin/tool@0.1.0".into());
    vec![
        Hello { filter: "node+fs".into(), filter_digest: [7; 32] }.into(),
        ToHost::Confined(Confined),
        ToHost::Loaded(Loaded),
        Rejected { fault: CompileFault::Invalid, message: "no".into() }.into(),
        Compiled { world: world() }.into(),
        Compiled { world: tool_interface }.into(),
        returned(Outcome::Value("{\"a\":[1,2]}".into())),
        returned(Outcome::Value(String::new())),
        returned(Outcome::Error(ToolError::UnknownTool(text("x")))),
        returned(Outcome::Error(ToolError::InvalidArguments(text("x")))),
        returned(Outcome::Error(ToolError::Denied(text("x")))),
        returned(Outcome::Error(ToolError::Failed(text("\u{1b}[2J")))),
        returned(Outcome::Trap(Trap { code: "unreachable".into(), message: "wasm".into() })),
        Return { call: CALL - 1, outcome: Outcome::Value("1".into()) }.into(),
        Return { call: u64::MAX, outcome: Outcome::Value("1".into()) }.into(),
        ToHost::Ask(Ask::FsOpen { path: path("/src/file") }),
        ToHost::Ask(Ask::FsOpen { path: path("/src/folder") }),
        ToHost::Ask(Ask::FsOpen { path: path("/src/outside/passwd") }),
        ToHost::Ask(Ask::FsOpen { path: path("/etc/passwd") }),
        ToHost::Ask(Ask::FsOpen { path: path("/src/../etc/passwd") }),
        ToHost::Ask(Ask::FsStat { path: path("/src/outside") }),
        ToHost::Ask(Ask::FsStat { path: path("/src/none") }),
        ToHost::Ask(Ask::FsList { path: path("/src"), after: 0 }),
        ToHost::Ask(Ask::FsList { path: path("/src"), after: u64::MAX }),
        ToHost::Ask(Ask::FsList { path: path("/src/file"), after: 0 }),
        ToHost::Ask(Ask::ConfigGet { key: text("secret") }),
        ToHost::Ask(Ask::HttpSend {
            request: HttpRequest {
                method: "POST".into(),
                scheme: HttpScheme::Http,
                authority: "api.example:8080".into(),
                path: "/v1?q".into(),
                fields: vec![("authorization".into(), Bytes(b"Bearer {{secret:token}}".to_vec()))],
                body: HttpBody::Whole(Bytes(b"{}".to_vec())),
                patience: [Some(1), None, Some(u64::MAX)],
            },
            wait: true,
        }),
        ToHost::Ask(Ask::HttpWrite { request: 1, bytes: Bytes(b"abc".to_vec()) }),
        ToHost::Ask(Ask::HttpFinish { request: 1, trailers: vec![("x-t".into(), Bytes(Vec::new()))] }),
        ToHost::Ask(Ask::HttpHead { request: 1, wait: false }),
        ToHost::Ask(Ask::HttpRead { request: 1, wait: true }),
        ToHost::Ask(Ask::HttpWait {
            on: vec![HttpInterest::Arrival(1), HttpInterest::Room(u32::MAX)],
            nanoseconds: Some(1),
        }),
        ToHost::Ask(Ask::HttpClose { request: 1 }),
        ToHost::Ask(Ask::KvGet { key: text("key") }),
        ToHost::Ask(Ask::KvSet { entries: vec![("key".into(), Bytes(b"1".to_vec()))] }),
        ToHost::Ask(Ask::KvDelete { keys: vec!["key".into(), "../other".into()] }),
        ToHost::Ask(Ask::KvKeys { after: u64::MAX }),
        ToHost::Ask(Ask::KvAdd { key: text("key"), delta: u64::MAX }),
        ToHost::Ask(Ask::KvSwap { key: text("key"), seen: Some(1), value: Bytes(b"2".to_vec()) }),
        ToHost::Ask(Ask::FsOpenWritable {
            path: path("/src/file"),
            make: Make::IfMissing,
            truncate: true,
            read: true,
        }),
        ToHost::Ask(Ask::FsWrite { file: 1, at: Some(3), bytes: Bytes(b"abc".to_vec()) }),
        ToHost::Ask(Ask::FsWrite { file: 1, at: None, bytes: Bytes(Vec::new()) }),
        ToHost::Ask(Ask::FsSetSize { file: 1, size: u64::MAX }),
        ToHost::Ask(Ask::FsStatOpen { file: 1 }),
        ToHost::Ask(Ask::FsSync { file: 1 }),
        ToHost::Ask(Ask::FsClose { file: 1 }),
        ToHost::Ask(Ask::FsSetTimes {
            path: path("/src/file"),
            accessed: NewTime::Keep,
            modified: NewTime::At(-1, 1_000_000_000),
        }),
        ToHost::Ask(Ask::FsMakeDirectory { path: path("/src/made") }),
        ToHost::Ask(Ask::FsRemove { path: path("/src/folder"), directory: true }),
        ToHost::Ask(Ask::FsName { from: path("/src/file"), to: path("/src/moved"), keep: false }),
        Log { level: LogLevel::Info, line: "hello".into(), fields: Vec::new() }.into(),
        Log { level: LogLevel::Error, line: "\u{1b}]8;;x\u{7}\r\nfake\u{2028}".into(), fields: Vec::new() }
            .into(),
        Refused {
            operation: "socket".into(),
            resource: "tcp".into(),
            rule: Rule { id: "r".into(), source: Source::CommandLine },
            reason: "no".into(),
        }
        .into(),
        Refused {
            operation: "fs.read".into(),
            resource: "/etc\n{}".into(),
            rule: Rule::built_in("b"),
            reason: String::new(),
        }
        .into(),
        ToHost::Delegate(Delegate::Tools),
        ToHost::Delegate(Delegate::Left),
        ToHost::Delegate(Delegate::ToolCall { name: text("a/b#c"), arguments: text("{}") }),
        ToHost::Delegate(Delegate::ModelAsk(question())),
    ]
}

/// Every kind of message that a conversation with a model has.
fn question() -> ModelRequest {
    let text = |text: &str| text.to_owned();
    let call = FunctionCall { id: text("1"), name: text("f"), arguments: text("{}") };
    ModelRequest {
        model: text("small"),
        messages: vec![
            ModelMessage::System(text("be brief")),
            ModelMessage::User(text("what?")),
            ModelMessage::Assistant(ModelReply { text: String::new(), calls: vec![call] }),
            ModelMessage::Function { id: text("1"), text: text("{}") },
        ],
        functions: vec![ModelFunction { name: text("f"), description: text("does"), arguments: text("{}") }],
        max_tokens: Some(16),
        temperature: None,
    }
}

/// What a host says, by kind.
pub fn to_worker() -> Vec<ToWorker> {
    let mut grants: Grants = [
        Scope::FsRead { root: GuestPath::parse("/src").expect("a guest path") },
        Scope::Config { key: "mode".into() },
        Scope::Log,
    ]
    .into_iter()
    .map(|scope| Grant { scope, rule: Rule { id: "r".into(), source: Source::CommandLine } })
    .collect();
    let source = Source::Policy { version: 1, id: "r".into(), line: 3 };
    let keys = GuestPath::parse("/src/keys").expect("a guest path");
    grants.forbid(Grant { scope: Scope::FsRead { root: keys }, rule: Rule { id: "forbid".into(), source } });
    let source = Source::Approval { number: 7, by: "ann".into() };
    grants.add(Grant { scope: Scope::Kv, rule: Rule { id: "kv".into(), source } });
    let stat = Stat {
        kind: FileKind::File,
        size: 7,
        links: 1,
        accessed: (1, 2),
        modified: (3, 4),
        changed: (5, 6),
        identity: (7, 8),
    };
    let entry = |name: &str, kind| Entry { name: name.into(), kind, identity: Some((1, 2)) };
    vec![
        Load { grants, tool_interface: None, reuse_instance: false, memory_bytes: 1 << 28 }.into(),
        Load {
            grants: Grants::none(),
            tool_interface: Some("stockade:plugin/tool@0.1.0".into()),
            reuse_instance: true,
            memory_bytes: 0,
        }
        .into(),
        Compile { component_len: 1 << 20 }.into(),
        Call { call: 1, tool: "echo".into(), arguments: "{}".into() }.into(),
        ToWorker::Answer(Answer::Denied),
        ToWorker::Answer(Answer::FsFailed(FsError::NotFound)),
        ToWorker::Answer(Answer::FsOpened(stat)),
        ToWorker::Answer(Answer::FsStat(stat)),
        ToWorker::Answer(Answer::FsEntries {
            entries: vec![entry("file", FileKind::File), entry("link", FileKind::Symlink)],
            next: Some(2),
        }),
        ToWorker::Answer(Answer::Config(Some("true".into()))),
        ToWorker::Answer(Answer::Config(None)),
        Rest.into(),
        ToWorker::Delegated(Delegated::Denied),
        ToWorker::Delegated(Delegated::Tools(vec![ToolInfo {
            name: "a/b#c".into(),
            description: String::new(),
            arguments: "{}".into(),
        }])),
        ToWorker::Delegated(Delegated::Left(Budget {
            tool_calls: 1,
            model_calls: 2,
            tokens: 3,
            cost: 4,
            http_bytes: 5,
        })),
        ToWorker::Delegated(Delegated::Answered(ModelResponse {
            reply: ModelReply { text: "so".into(), calls: Vec::new() },
            cut: false,
            input_tokens: 1,
            output_tokens: 2,
            cost: 3,
        })),
    ]
}

/// The frames of both directions.
pub fn frames() -> Vec<Vec<u8>> {
    let whole = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let host = to_host();
    let worker = to_worker();
    let up = host.iter().map(|m| whole(&|out| m.frame(out).expect("a seed fits its frame")));
    let down = worker.iter().map(|m| whole(&|out| m.frame(out).expect("a seed fits its frame")));
    up.chain(down).collect()
}

/// Inputs of the target `decode`: every frame where it is legal, whole conversations, and some of it torn.
pub fn decode() -> Vec<Vec<u8>> {
    let setting = |worker: bool, compiles: bool, returns: bool, steps: u8| {
        u8::from(!worker) | u8::from(compiles) << 1 | u8::from(returns) << 2 | steps << 3
    };
    let frame = |message: &ToHost| {
        let mut out = Vec::new();
        message.frame(&mut out).expect("a seed fits its frame");
        out
    };
    let mut inputs = Vec::new();
    for message in to_host() {
        let steps = match message {
            ToHost::Hello(_) | ToHost::Confined(_) => 0,
            ToHost::Loaded(_) | ToHost::Rejected(_) | ToHost::Compiled(_) => 3,
            _ => 5,
        };
        let compiles = matches!(message, ToHost::Compiled(_));
        inputs.push([vec![setting(true, compiles, false, steps), 0], frame(&message)].concat());
    }
    for message in to_worker() {
        let steps = match message {
            ToWorker::Load(_) | ToWorker::Compile(_) => 2,
            ToWorker::Call(_) | ToWorker::Rest(_) => 4,
            ToWorker::Answer(_) | ToWorker::Delegated(_) => 5,
        };
        let mut stream = vec![setting(false, false, false, steps), 0];
        message.frame(&mut stream).expect("a seed fits its frame");
        inputs.push(stream);
    }
    let all: Vec<u8> = to_host().iter().flat_map(frame).collect();
    inputs.push([vec![setting(true, false, false, 0), 3], all.clone()].concat());
    inputs.push([vec![setting(true, false, false, 5), 1], all[all.len() / 2..].to_vec()].concat());
    let calling: Vec<u8> = to_host().iter().skip(15).flat_map(frame).collect();
    inputs.push([vec![setting(true, false, true, 5), 7], calling].concat());
    inputs.extend(refused());
    inputs
}

/// Inputs of the target `decode` that cover nothing new and must be refused all the same.
fn refused() -> Vec<Vec<u8>> {
    let framed = |kind: Kind, body: &[u8]| {
        let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
        bytes.extend([kind as u8, PROTOCOL, 0, 0]);
        bytes.extend(body);
        bytes
    };
    let mut hello = Vec::new();
    let honest = Hello { filter: "node".into(), filter_digest: [7; 32] };
    ToHost::from(honest).frame(&mut hello).expect("a seed fits its frame");
    // A kilobyte is the most that a Hello may have.
    let name = "x".repeat(1025 - 8 - 32);
    let long = [&(name.len() as u64).to_le_bytes(), name.as_bytes(), &[7; 32]].concat();
    let in_boot = [hello.repeat(2), framed(Kind::Hello, &long)];

    let mut line = Vec::new();
    let honest = Log { level: LogLevel::Info, line: "hello".into(), fields: Vec::new() };
    ToHost::from(honest).frame(&mut line).expect("a seed fits its frame");
    let changed = |at: usize, byte: u8| {
        let mut line = line.clone();
        line[at] = byte;
        line
    };
    // Twelve bytes that claim a text of 4 MiB.
    let claim = [&[2, 0, 0, 0][..], &(1_u64 << 22).to_le_bytes()].concat();
    let in_call = [changed(5, 0), changed(5, 2), changed(6, 1), changed(7, 0x80), framed(Kind::Log, &claim)];

    let boot = in_boot.into_iter().map(|stream| [vec![0, 0], stream].concat());
    let call = in_call.into_iter().map(|stream| [vec![5 << 3, 0], stream].concat());
    boot.chain(call).collect()
}

/// Inputs of the target `session`: what a worker may say in a call, and what it may not.
pub fn session() -> Vec<Vec<u8>> {
    let mut inputs = frames();
    let asking: Vec<u8> = inputs[15..26].concat();
    inputs.push(asking.repeat(4));
    inputs.push([asking.clone(), inputs[6].clone()].concat());
    inputs.push([inputs[6].clone(), inputs[6].clone()].concat());
    inputs.push([inputs[26].repeat(30), inputs[28].repeat(10)].concat());
    inputs.push(asking[..asking.len() - 3].to_vec());
    inputs.push(Vec::new());
    inputs
}

/// Inputs of the target `audit-line`: a log as the writer makes it, whole and hurt.
pub fn audit_line() -> Vec<Vec<u8>> {
    let state = tempfile::tempdir().expect("a temporary folder");
    let folder = state.path().join("audit");
    let plugin = Plugin::new("fuzz/x", "0.1.0", "00", "node").shared();
    let log = AuditLog::open(&folder).expect("a log can be begun");
    for (number, resource) in ["/etc/passwd", "a\u{1b}[2J\r\n\u{202e}", "=1+1"].into_iter().enumerate() {
        let record = Record::new(Layer::Host, "refused", Decision::Denied)
            .plugin(&plugin)
            .launch("1")
            .call(number as u64)
            .operation("fs.read")
            .resource(resource)
            .rule("r", "command line")
            .reason("no")
            .detail("n", number as u64);
        log.append(&record).expect("a record can be added");
    }
    log.close().expect("the log can be closed");
    let whole = std::fs::read(folder.join("audit.jsonl")).expect("the log is there");
    let lines: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').collect();
    let swapped = [lines[0], lines[2], lines[1], lines[3]].concat();
    vec![
        lines[0].to_vec(),
        lines[..2].concat(),
        [&whole[..whole.len() - 7], &[0]].concat(),
        [lines[0], lines[2]].concat(),
        [lines[0], lines[1], lines[1]].concat(),
        lines[1..].concat(),
        swapped,
        whole.clone(),
        Vec::new(),
        b"{}\n".to_vec(),
    ]
}

/// Inputs of the target `manifest`.
pub fn manifest() -> Vec<Vec<u8>> {
    let head = "manifest = 1\nname = \"a/b\"\nversion = \"0.1.0\"\ntype = \"node\"\ncontract = \"0.1\"\n\
                description = \"x\"\ncomponent = \"c.wasm\"\n";
    let tool = |input: &str| format!("\n[[tools]]\nname = \"t\"\ndescription = \"d\"\ninput = '{input}'\n");
    let permission = "\n[[permissions]]\ncapability = \"fs.read\"\nresource = \"/src\"\nreason = \"r\"\n";
    let schemas = [
        r#"{"type":"object","properties":{"path":{"type":"string","pattern":"^/[a-z]{1,9}"}},"required":["path"]}"#,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/b"}]},"b":{"enum":[1,2]}}}"##,
        r#"{"oneOf":[{"type":"integer","minimum":0,"maximum":255},{"type":"array","items":false,"prefixItems":[true]}]}"#,
        r#"{"patternProperties":{"^a":{"not":{}}},"additionalProperties":false,"unevaluatedProperties":false}"#,
    ];
    let mut inputs: Vec<String> = schemas.iter().map(|schema| format!("{head}{}", tool(schema))).collect();
    inputs.push(format!("{head}license = \"MIT\"\ninstance = \"reused\"\n{}{permission}", tool("{}")));
    inputs.push(head.replace("0.1.0", "1.0.0-rc.1+x").replace("node", "quality_gate"));
    inputs.push(format!("{head}name = \"again/again\"\n"));
    inputs.push(format!("{head}[a.b.c]\nd = {{ e = [[1, 2.5], [true, 1979-05-27T07:32:00Z]] }}\n"));
    inputs.push(head.replace("c.wasm", "../c.wasm"));
    inputs.into_iter().map(String::into_bytes).collect()
}

/// How a plugin is said to have been built, with everything that is shown of it.
const PROVENANCE: &str = r#"{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1",
"subject":[{"name":"c.wasm","digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}],
"predicate":{"buildDefinition":{"buildType":"https://example.org/build/v1","externalParameters":{"ref":"main","with":
{"n":[1,2.5,true,null,{},[]]}},"internalParameters":{},"resolvedDependencies":[{"uri":"git+https://example.org/a",
"digest":{"gitCommit":"1"}}]},"runDetails":{"builder":{"id":"https://example.org/builder"}}}}"#;

/// Packages, their configurations, and manifests to make packages of: a byte says which.
pub fn package() -> Vec<Vec<u8>> {
    let manifests = manifest();
    let parts = |signature: Option<&str>, provenance: Option<&str>| Parts {
        manifest: String::from_utf8_lossy(&manifests[0]).into_owned(),
        signature: signature.map(str::to_owned),
        provenance: provenance.map(str::to_owned),
        interfaces: Interfaces { exports: vec!["f".into()], imports: vec!["wasi:cli/stdout@0.2.6".into()] },
        component: COMPONENT.to_vec(),
    };
    let kind = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    let mut inputs = Vec::new();
    let signature = "{\"payloadType\":\"application/vnd.in-toto+json\",\"payload\":\"\",\"signatures\":[]}";
    for (signature, provenance) in
        [(None, None), (Some(signature), None), (None, Some(PROVENANCE)), (Some(signature), Some("{}"))]
    {
        let package = pack(&parts(signature, provenance)).bytes;
        let at = |text: &[u8]| package.windows(text.len()).position(|window| window == text);
        let (from, to) = (at(b"{\"created").expect("a configuration"), at(b"}}\0").expect("its end") + 2);
        inputs.push(kind(1, &package[from..to]));
        inputs.push(kind(0, &package));
    }
    inputs.extend(manifests.iter().map(|manifest| kind(2, manifest)));
    inputs.push(kind(2, b"manifest = 1\0{}"));
    inputs.push(kind(2, &[&manifests[0][..], b"\0\0", PROVENANCE.as_bytes()].concat()));
    inputs
}

/// Indexes and lock files: a byte says which.
pub fn index() -> Vec<Vec<u8>> {
    let digest = format!("sha256:{}", "0".repeat(64));
    let release = |version: &str, more: &str| {
        format!(
            "{{\"version\":\"{version}\",\"type\":\"node\",\"digest\":\"{digest}\",\"bytes\":1,\"contract\":\"0.1\",\
             \"source\":\"a.stockade.tar\"{more}}}"
        )
    };
    let plugin = |name: &str, versions: &[String]| {
        format!("{{\"name\":\"{name}\",\"description\":\"x\",\"versions\":[{}]}}", versions.join(","))
    };
    let index = |plugins: &[String]| {
        let head = "\"schema\":1,\"name\":\"a\",\"version\":1,\"expires\":\"2027-01-31T00:00:00Z\"";
        format!("{{{head},\"plugins\":[{}]}}", plugins.join(","))
    };
    let needs = |on: &str, range: &str, optional: bool| {
        format!(",\"dependencies\":[{{\"plugin\":\"{on}\",\"version\":\"{range}\",\"optional\":{optional}}}]")
    };
    let words = plugin("a/c", &[release("1.0.0", ""), release("2.0.0-rc.1", ",\"host\":\">=9\"")]);
    let indexes = [
        index(&[]),
        index(&[plugin("a/b", &[release("1.0.0", &needs("a/c", "^1", false))]), words.clone()]),
        index(&[plugin("a/b", &[release("1.0.0", &needs("a/c", ">=2, <3", true))]), words.clone()]),
        index(&[plugin("a/b", &[release("1.0.0+x", &needs("a/d", "*", false))]), words.clone()]),
        index(&[
            plugin("a/b", &[release("1.0.0", ",\"yanked\":\"r\"")]),
            words.replace("a.stockade", "../a"),
        ]),
    ];
    let entry = |name: &str, needs: &str| {
        format!(
            "[[plugin]]\nname = \"{name}\"\nversion = \"1.0.0\"\ndigest = \"{digest}\"\n\
             source = \"https://example.org/a.stockade.tar\"\ndependencies = [{needs}]\n"
        )
    };
    let locks = [
        "version = 1\n".to_owned(),
        format!("version = 1\n{}{}", entry("a/b", "\"a/c 1.0.0\""), entry("a/c", "")),
        format!("version = 1\n{}{}", entry("a/b", "\"a/b 1.0.0\""), entry("a/b", "")),
    ];
    let kind = |kind: u8, text: &String| [&[kind], text.as_bytes()].concat();
    indexes.iter().map(|text| kind(0, text)).chain(locks.iter().map(|text| kind(1, text))).collect()
}

//! What each piece on the way of a call costs by itself: `cargo bench -p stockade-tests --bench pieces`. Beside each
//! stands the least that such work costs here.

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Write;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stockade_audit::{Decision, Layer, Log, Plugin, Record};
use stockade_ipc::phase::Sender;
use stockade_ipc::{Call, FrameBuffer, Kind, Outcome, Phases, Return, ToHost, ToWorker};
use stockade_policy::{Ask, Grant, Grants, HttpScheme, HttpTarget, Rule, decide};

const SMALL: usize = 64;
const LARGE: usize = 1 << 20;

fn frames(criterion: &mut Criterion) {
    let mut phases = Phases::default();
    for kind in [Kind::Hello, Kind::Confined, Kind::Load, Kind::Loaded, Kind::Call] {
        phases.advance(kind);
    }
    for size in [SMALL, LARGE] {
        let mut group = criterion.benchmark_group(format!("frames/{size}"));
        group.throughput(Throughput::Bytes(size as u64));
        let text = "x".repeat(size);
        group.bench_function("floor: copy", |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(text.as_bytes()));
            });
        });
        let call: ToWorker = Call { call: 7, tool: "greet".to_owned(), arguments: text.clone() }.into();
        group.bench_function("a call is encoded", |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                out.clear();
                black_box(&call).frame(&mut out).expect("it fits");
            });
        });
        let returned: ToHost = Return { call: 7, outcome: Outcome::Value(text) }.into();
        let mut frame = Vec::new();
        returned.frame(&mut frame).expect("it fits");
        group.bench_function("a return is received, decoded and checked", |bencher| {
            let mut buffer = FrameBuffer::default();
            bencher.iter(|| {
                let mut rest = &frame[..];
                loop {
                    let space = buffer.space();
                    let count = space.len().min(rest.len());
                    space[..count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    buffer.filled(count);
                    if let Some((kind, body)) = buffer.next(Sender::Worker, &phases).expect("a frame") {
                        break ToHost::decode(kind, body).expect("a return").check().expect("plausible");
                    }
                }
            });
        });
        group.finish();
    }
}

fn decisions(criterion: &mut Criterion) {
    let scopes: Vec<String> =
        (0..1000).map(|number| format!("http:GET host{number}.example.org/v1")).collect();
    let grants: Grants = scopes
        .iter()
        .map(|scope| Grant { scope: scope.parse().expect("a scope"), rule: Rule::built_in(scope) })
        .collect();
    let map: HashMap<&str, usize> =
        scopes.iter().enumerate().map(|(at, scope)| (scope.as_str(), at)).collect();
    let target = |host| HttpTarget::parse("GET", HttpScheme::Https, host, "/v1/items").expect("a target");
    let (granted, refused) = (target("host996.example.org"), target("nobody.example.net"));
    let mut group = criterion.benchmark_group("decide");
    group.bench_function("floor: a look into a map", |bencher| {
        bencher.iter(|| map.get(black_box("http:GET host996.example.org/v1")));
    });
    for (name, target, allowed) in [("allowed", &granted, true), ("refused", &refused, false)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let decision = decide(black_box(&grants), &Ask::Http { target });
                assert_eq!(decision.is_allowed(), allowed);
            });
        });
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugin = Plugin::new("acme/pr-summary", "1.4.0", "0".repeat(64), "integration").shared();
    let record = || {
        Record::new(Layer::Policy, "denied", Decision::Denied)
            .plugin(&plugin)
            .operation("http")
            .resource("GET https://nobody.example.net/v1/items")
            .reason("no grant names this host")
            .next_step("grant http=nobody.example.net")
    };
    let log = Log::open(folder.path().join("audit")).expect("a log");
    log.append(&record()).expect("room");
    let before = size(folder.path());
    log.append(&record()).expect("room");
    let line = vec![b'x'; usize::try_from(size(folder.path()) - before).expect("a line")];
    let mut group = criterion.benchmark_group("record");
    let mut file = File::create(folder.path().join("floor")).expect("writable");
    group.bench_function("floor: write(2) of as many bytes", |bencher| {
        bencher.iter(|| file.write_all(black_box(&line)).expect("room"));
    });
    group.bench_function("append", |bencher| {
        bencher.iter_batched(record, |record| log.append(&record).expect("room"), BatchSize::SmallInput);
    });
    group.finish();
}

/// How large all files below a folder are.
fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("readable");
    let sizes = entries.map(|entry| entry.expect("readable")).map(|entry| {
        let meta = entry.metadata().expect("it is there");
        if meta.is_dir() { size(&entry.path()) } else { meta.len() }
    });
    sizes.sum()
}

criterion_group!(pieces, frames, decisions, records);
criterion_main!(pieces);

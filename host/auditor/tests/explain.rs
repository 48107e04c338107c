//! The stories of every kind of record that a host writes, compared with those that were read by a person.

mod sample;

use stockade_auditor::{Auditor, Lookup, explain};

fn told(auditor: &Auditor, seq: u64) -> String {
    let story = explain(auditor, seq).unwrap();
    let mut text = String::new();
    for (name, sentences) in &story.parts {
        text.push_str(&format!("{name}\n"));
        sentences.iter().for_each(|sentence| text.push_str(&format!("  {sentence}\n")));
    }
    text.push_str(&format!("rests on {:?}\n", story.rests_on));
    // The two that no clock of ours decides.
    let pid = format!("process {}, user ", std::process::id());
    match text.split_once(&pid) {
        None => text,
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}process PID, user UID{after}")
        }
    }
}

const GROUPS: &[(&str, &[&str])] = &[
    (
        "policy",
        &[
            "approved",
            "granted",
            "policy",
            "revoked",
            "expired",
            "denied",
            "import",
            "above-ceiling",
            "config",
        ],
    ),
    (
        "host",
        &[
            "allowed",
            "metadata",
            "rebound",
            "tracker",
            "agent-read",
            "observed",
            "node-http",
            "called",
            "reckoned",
            "fault",
            "control",
        ],
    ),
    ("worker-and-kernel", &["claimed", "forbidden", "foreign", "landlock"]),
    (
        "kernel-records",
        &[
            "records-read",
            "kernel-killed",
            "kernel-gap",
            "kernel-lost",
            "audit-changed",
            "untied",
            "unreadable",
        ],
    ),
    (
        "limits",
        &[
            "budget",
            "quota",
            "lines",
            "deadline",
            "breaker-open",
            "breaker-closed",
            "ended-memory",
            "compile-ended",
        ],
    ),
    ("launch", &["attested", "ended", "ended-forbidden", "not-attested", "not-ended", "rejected"]),
    ("log", &["open", "flood", "flood-first", "close"]),
];

#[test]
fn every_kind_of_record_has_its_story() {
    let sample = sample::sample();
    let auditor = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    for (group, names) in GROUPS {
        let stories: Vec<String> =
            names.iter().map(|name| format!("## {name}\n{}", told(&auditor, sample.at[*name]))).collect();
        insta::assert_snapshot!(*group, stories.join("\n"));
    }
}

#[test]
fn the_index_tells_the_same_story() {
    let sample = sample::sample();
    let state = tempfile::tempdir().unwrap();
    let by_scan = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    let by_index = Auditor::open(&sample.dir, &Lookup::At(state.path().join("i"))).unwrap();
    for (name, seq) in &sample.at {
        assert_eq!(explain(&by_scan, *seq).unwrap(), explain(&by_index, *seq).unwrap(), "{name}");
    }
}

#[test]
fn a_record_that_was_changed_says_so_first_of_all_that_it_rests_on() {
    let sample = sample::sample();
    let file = sample.dir.join("audit.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("169.254.169.254/latest", "169.254.169.253/latest", 1)).unwrap();
    let auditor = Auditor::open(&sample.dir, &Lookup::Scan).unwrap();
    assert!(
        told(&auditor, sample.at["metadata"])
            .contains("WARNING: the record's hash is not the hash of its line")
    );
}

#[test]
fn a_gap_and_a_recovery_are_told_from_what_the_log_wrote_of_itself() {
    use std::io::Write;
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("audit");
    let log = stockade_audit::Log::open(&dir).unwrap();
    let record =
        stockade_audit::Record::new(stockade_audit::Layer::Host, "refused", stockade_audit::Decision::Denied);
    // Somebody else writes to the file: nothing is recorded until they undo it.
    let file = dir.join("audit.jsonl");
    let length = std::fs::metadata(&file).unwrap().len();
    let mut other = std::fs::File::options().append(true).open(&file).unwrap();
    other.write_all(b"{\"v\":1,\"torn").unwrap();
    log.sync().unwrap_err();
    log.append(&record).unwrap_err();
    other.set_len(length).unwrap();
    log.append(&record).unwrap();
    drop(log);
    other.write_all(b"{\"v\":1,\"torn").unwrap();
    drop(stockade_audit::Log::open(&dir).unwrap());
    let auditor = Auditor::open(&dir, &Lookup::Scan).unwrap();
    let find = |event: &str| {
        let filter = stockade_auditor::Filter { event: Some(event.parse().unwrap()), ..Default::default() };
        told(&auditor, auditor.collect(filter, false, 1).unwrap()[0].entry.seq)
    };
    let gap = find("gap");
    assert!(gap.contains("nothing could be written") && gap.contains("1 actions were refused"), "{gap}");
    let recovery = find("recovery");
    assert!(recovery.contains("It was moved to audit.torn-1 as it was found (12 bytes)"), "{recovery}");
}

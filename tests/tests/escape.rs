//! The attack suite as an operator runs it: `stockade doctor --attack`, on the programs that a user gets.

use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use stockade_tests::{dist, skipped};

fn doctor(arguments: &[&str]) -> Output {
    Command::new(dist().join("stockade"))
        .args(["doctor", "--attack", "--format", "json"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn document(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr))
    })
}

fn rows(report: &Json) -> &[Json] {
    report["rows"].as_array().expect("rows")
}

fn text<'a>(row: &'a Json, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} of {row}"))
}

#[test]
fn no_attack_case_is_broken() {
    let output = doctor(&[]);
    let report = document(&output);
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    for row in rows(&report) {
        let (verdict, why) = (text(row, "verdict"), text(row, "why"));
        *counts.entry(verdict).or_default() += 1;
        match verdict {
            "held" => {}
            "broken" => println!("BROKEN: {}: {why}", text(row, "id")),
            // One that is not shown to hold has to say why, or it would be silently green.
            _ => {
                assert!(!why.is_empty(), "{} is {verdict} and does not say why", text(row, "id"));
                skipped(text(row, "id"), &format!("{verdict}: {why}"));
            }
        }
    }
    for verdict in ["held", "vacuous", "skipped", "broken"] {
        assert_eq!(report[verdict].as_u64(), Some(counts.get(verdict).copied().unwrap_or(0)), "{verdict}");
    }
    assert_eq!(report["broken"], 0);
    assert_eq!(output.status.code(), Some(0));
    // The probe is installed: every group has been run, not skipped.
    for group in ["native", "outside", "peer", "guest"] {
        let held = rows(&report).iter().filter(|row| row["group"] == group && row["verdict"] == "held");
        assert!(held.count() >= 5, "hardly anything of group {group} was shown to hold");
    }
}

#[test]
fn every_row_that_ended_a_worker_names_its_record() {
    let report = document(&doctor(&["--case", "A1", "--case", "B1"]));
    assert!(rows(&report).len() > 2);
    for row in rows(&report) {
        let case = text(row, "case");
        assert!(case == "A1" || case == "B1", "{row}");
        if row["all"] == "protocol-fault" {
            assert!(row["record"].is_u64(), "{row}");
        }
    }
    assert!(rows(&report).iter().filter(|row| row["all"] == "protocol-fault").count() > 5);
    let openat =
        rows(&report).iter().find(|row| row["all"] == "openat").expect("an attack that opens a file");
    assert_eq!(openat["control"], "done");
    assert_eq!(openat["seccomp"], "openat");
    assert!(openat["record"].is_u64(), "{openat}");
}

#[test]
fn an_unknown_case_is_told_with_the_known_ones() {
    let output = doctor(&["--case", "Z99"]);
    assert_eq!(output.status.code(), Some(2));
    let error = &document(&output)["error"];
    assert_eq!(error["code"], "unknown-case");
    assert!(text(error, "next_step").contains("A1"), "{error}");
}

#[test]
fn without_the_probe_its_groups_are_skipped_and_say_what_to_install() {
    let programs = tempfile::tempdir().unwrap();
    for name in ["stockade-worker", "stockade-compiler"] {
        std::fs::copy(dist().join(name), programs.path().join(name)).unwrap();
    }
    let folder = programs.path().to_str().unwrap();
    let output =
        doctor(&["--programs", folder, "--case", "A1", "--case", "B1", "--case", "A33.no-new-privs"]);
    let report = document(&output);
    assert_eq!((report["skipped"].as_u64(), report["broken"].as_u64()), (Some(2), Some(0)), "{report}");
    assert_eq!(output.status.code(), Some(0));
    for row in rows(&report).iter().filter(|row| row["verdict"] == "skipped") {
        assert!(text(row, "why").contains("stockade-probe"), "{row}");
    }
    assert!(rows(&report).iter().any(|row| row["id"] == "A33.no-new-privs" && row["verdict"] == "held"));
}

//! docs/protocol.md and the phase table say the same.

use std::fmt::Write;
use std::path::Path;

use stockade_ipc::PROTOCOL;
use stockade_ipc::phase::{Sender, TABLE};

fn table() -> String {
    let mut text = String::from("| kind | message | from | legal in | once | longest | leads to |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for row in &TABLE {
        let sender = if row.sender == Sender::Host { "host" } else { "worker" };
        let phases: Vec<String> = row.phases.iter().map(|phase| format!("{phase:?}")).collect();
        let once = if row.once { "yes" } else { "" };
        let next = row.next.map(|phase| format!("{phase:?}")).unwrap_or_default();
        writeln!(
            text,
            "| {} | {:?} | {sender} | {} | {once} | {} | {next} |",
            row.kind as u8,
            row.kind,
            phases.join(", "),
            row.max
        )
        .unwrap();
    }
    text
}

#[test]
fn the_document_has_the_table() {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let path = Path::new(&folder).join("../docs/protocol.md");
    let document = std::fs::read_to_string(path).unwrap();
    assert!(document.contains(&table()), "docs/protocol.md should have this table:\n\n{}", table());
    assert!(document.contains(&format!("This is version {PROTOCOL}.")));
}

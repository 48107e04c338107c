//! B1, B2, B4, B6: frames that are wrong by themselves, sent in the middle of a call.

use std::time::Duration;

use stockade_ipc::bounds::CONTROL;
use stockade_ipc::phase::{Sender, TABLE};
use stockade_ipc::{HEADER, Kind, Log, LogLevel, PROTOCOL, Phase};

use super::Entry;
use super::wire::{done, fields, frame, header, message, returned, text};

/// Makes an entry's text field again when it runs: for the call of the day.
fn field(name: &'static str, call: u64) -> super::wire::Field {
    let mut all = fields(call);
    let at = all.iter().position(|field| field.name == name).expect("a field by one of the names");
    all.swap_remove(at)
}

pub(super) fn entries() -> Vec<Entry> {
    let mut all = lengths();
    all.extend(pauses());
    all.extend(headers());
    all.extend(texts());
    all.extend(numbers());
    all.extend(phases());
    all
}

/// Some megabytes take a while to cross on a busy machine.
fn large(entry: Entry, len: usize) -> Entry {
    if len > CONTROL { entry.within(1_000) } else { entry }
}

fn name(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// The kinds that a worker may send while it runs a call.
fn legal() -> impl Iterator<Item = &'static stockade_ipc::phase::Row> {
    TABLE.iter().filter(|row| row.sender == Sender::Worker && row.phases.contains(&Phase::Calling))
}

/// B1: what a header claims of its body, with a body that keeps the claim where that can be.
fn lengths() -> Vec<Entry> {
    let mut all = Vec::new();
    for row in legal() {
        let (kind, max) = (row.kind, row.max);
        let id = |what: &str| format!("B1.{}-length-{what}", name(kind));
        let tries = |what: &str| format!("a {kind:?} whose header says {what}");
        let zeroes = [
            ("zero", 0, "0 bytes"),
            ("one", 1, "1 byte"),
            ("header-less-one", HEADER - 1, "7 bytes"),
            ("max", max, "exactly the most, all zeroes"),
        ];
        for (short, len, said) in zeroes {
            let wrong = Entry::fault(id(short), tries(said), move |_| frame(kind, &vec![0; len]));
            all.push(large(wrong, len));
        }
        let claims = [
            ("max-and-one", max as u32 + 1, "one byte more than the most"),
            ("sign-bit", i32::MIN as u32, "2 GiB, negative to some"),
            ("all-bits", u32::MAX, "4 GiB less one"),
        ];
        for (short, len, said) in claims {
            all.push(Entry::fault(id(short), tries(said), move |_| header(len, kind as u8).to_vec()));
        }
    }
    all
}

fn line(len: usize) -> Vec<u8> {
    message(Log { level: LogLevel::Info, line: "x".repeat(len), fields: Vec::new() })
}

/// B2: frames that do not end, and frames that come slowly.
fn pauses() -> Vec<Entry> {
    let log = Kind::Log as u8;
    let late =
        |id: &str, tries: &str, bytes: Vec<u8>| Entry::fault(id, tries, move |_| bytes.clone()).too_late();
    vec![
        late("B2.half-a-header", "four bytes of a header, then silence", header(100, log)[..4].to_vec()),
        late("B2.header-alone", "a header, then silence", header(100, log).to_vec()),
        late("B2.half-a-frame", "half a frame, then silence", line(2000)[..1000].to_vec()),
        late("B2.one-byte-short", "a frame without its last byte, then silence", {
            let mut whole = line(2000);
            whole.pop();
            whole
        }),
        Entry::act("B2.byte-by-byte", "a whole frame, one byte in each write", |peer| {
            for byte in line(1000) {
                peer.write(&[byte]);
            }
            done()
        }),
        Entry::act("B2.one-byte-now-and-then", "one byte of a frame every 20 ms", |peer| {
            for byte in line(4000) {
                peer.write(&[byte]);
                std::thread::sleep(Duration::from_millis(20));
            }
            done()
        })
        .too_late(),
    ]
}

/// B4: headers.
fn headers() -> Vec<Entry> {
    let changed = |id: &str, tries: &str, at: usize, byte: u8| {
        let mut bytes = line(1);
        bytes[at] = byte;
        Entry::fault(id, tries, move |_| bytes.clone())
    };
    let mut all = vec![
        changed("B4.version-zero", "protocol version 0", 5, 0),
        changed("B4.version-next", "the next protocol version", 5, PROTOCOL + 1),
        changed("B4.version-max", "protocol version 255", 5, 255),
        changed("B4.reserved-first", "the first reserved byte is set", 6, 1),
        changed("B4.reserved-second", "the second reserved byte is set", 7, 0x80),
    ];
    let known = TABLE.len() as u8;
    for (short, kind) in [("zero", 0), ("next", known + 1), ("sign-bit", 128), ("max", 255)] {
        all.push(Entry::fault(format!("B4.kind-{short}"), format!("message kind {kind}"), move |_| {
            header(0, kind).to_vec()
        }));
    }
    for row in TABLE.iter().filter(|row| row.sender == Sender::Host) {
        let kind = row.kind;
        all.push(Entry::fault(
            format!("B4.direction-{}", name(kind)),
            format!("a {kind:?}, which only the host sends"),
            move |_| frame(kind, &[0; 64]),
        ));
    }
    all
}

/// B1, B4, B6: every text of every message: its longest, one more, and what is no text.
fn texts() -> Vec<Entry> {
    let mut all = Vec::new();
    for each in fields(0) {
        let (name, most) = (each.name, each.most);
        let longest = move |call| field(name, call).with("x".repeat(most).as_bytes());
        let entry = Entry::act(
            format!("B1.{name}-longest"),
            format!("a {name} of exactly {most} bytes"),
            move |peer| {
                peer.write(&longest(peer.call));
                match field(name, 0).kind {
                    Kind::Return => peer.serve(),
                    Kind::Ask => drop(peer.read()),
                    _ => {}
                }
                done()
            },
        );
        let entry = match each.honest {
            "failed" => entry.expect(&["failed"]),
            "trapped" => entry.expect(&["trapped"]),
            _ => entry,
        };
        all.push(large(entry, most));
        let over = Entry::fault(
            format!("B1.{name}-one-over"),
            format!("a {name} of {} bytes, one too many", most + 1),
            move |call| field(name, call).with("x".repeat(most + 1).as_bytes()),
        );
        all.push(large(over, most));
        let bad: [(&str, &str, &[u8]); 4] = [
            ("not-utf8", "is no UTF-8", b"\xff"),
            ("cut-utf8", "ends in the middle of a character", b"\xe2\x82"),
            ("overlong-utf8", "has NUL in two bytes", b"\xc0\x80"),
            ("surrogate", "has a lone surrogate", b"\xed\xa0\x80"),
        ];
        for (short, said, bytes) in bad {
            all.push(Entry::fault(
                format!("B4.{name}-{short}"),
                format!("a {name} that {said}"),
                move |call| field(name, call).with(bytes),
            ));
        }
        let claims = [
            ("one-more", 1 << 40, "2^40 bytes"),
            ("sign-bit", 1 << 63, "2^63 bytes"),
            ("all-bits", u64::MAX, "2^64 - 1 bytes"),
        ];
        for (short, len, said) in claims {
            all.push(Entry::fault(
                format!("B6.{name}-claims-{short}"),
                format!("a {name} of 1 byte that claims {said}"),
                move |call| field(name, call).claims(len),
            ));
        }
        all.push(Entry::fault(
            format!("B4.{name}-trailing"),
            format!("a byte behind the message with the {name}"),
            move |call| {
                let whole = field(name, call).with(b"x");
                frame(field(name, call).kind, &[&whole[HEADER..], &[0]].concat())
            },
        ));
    }
    all
}

/// B4: numbers that stand for a choice, and name none.
fn numbers() -> Vec<Entry> {
    let choices: [(&str, Kind, u32); 5] = [
        ("outcome", Kind::Return, 3),
        ("tool-error", Kind::Return, 4),
        ("ask", Kind::Ask, 4),
        ("log-level", Kind::Log, 5),
        ("rule-source", Kind::Refused, 4),
    ];
    let mut all = Vec::new();
    for (name, kind, first) in choices {
        for (short, number) in [("next", first), ("low-byte", 0x100), ("max", u32::MAX)] {
            let body = move |call: u64| {
                let (call, number, empty) = (call.to_le_bytes(), number.to_le_bytes(), text(b""));
                match name {
                    "outcome" => [call.as_slice(), &number, &empty].concat(),
                    "tool-error" => [call.as_slice(), &1_u32.to_le_bytes(), &number, &empty].concat(),
                    "rule-source" => [empty.as_slice(), &empty, &empty, &number, &empty].concat(),
                    _ => [number.as_slice(), &empty].concat(),
                }
            };
            all.push(Entry::fault(
                format!("B4.{name}-{short}"),
                format!("{name} number {number:#x}, which there is not"),
                move |call| frame(kind, &body(call)),
            ));
        }
    }
    // A profile's rule names a plugin type.
    all.push(Entry::fault("B4.plugin-type-max", "plugin type number 0xffffffff", |_| {
        let (empty, profile) = (text(b""), 0_u32.to_le_bytes());
        let source = [profile.as_slice(), &u32::MAX.to_le_bytes(), &[0; 4]].concat();
        frame(Kind::Refused, &[empty.as_slice(), &empty, &empty, &source, &empty].concat())
    }));
    all
}

/// Every message of a worker's that a call has no place for, from the phase table.
fn phases() -> Vec<Entry> {
    let foreign =
        TABLE.iter().filter(|row| row.sender == Sender::Worker && !row.phases.contains(&Phase::Calling));
    foreign
        .map(|row| {
            let kind = row.kind;
            Entry::fault(
                format!("B13.{}-in-a-call", name(kind)),
                format!("a {kind:?} in a call"),
                move |_| frame(kind, &[]),
            )
        })
        .chain([Entry::fault(
            "B7.return-in-two-frames",
            "the empty half of a Return, then its rest",
            |call| {
                let whole = returned(call, "1");
                let (first, rest) = whole[HEADER..].split_at(8);
                [frame(Kind::Return, first), frame(Kind::Return, rest)].concat()
            },
        )])
        .collect()
}

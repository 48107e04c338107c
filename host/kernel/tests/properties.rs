//! What holds for whatever a hostile program has the kernel write.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use stockade_kernel_log::{Assembler, Event, Object, Record, Report, Reports, What, bounds, parse};

const KINDS: [u16; 7] = [1300, 1305, 1320, 1326, 1327, 1423, 1424];

/// As `audit_log_untrustedstring` writes it.
fn as_the_kernel_writes(name: &[u8]) -> String {
    if name.iter().any(|&byte| byte == b'"' || !(0x21..=0x7e).contains(&byte)) {
        name.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02X}");
            hex
        })
    } else {
        format!("\"{}\"", std::str::from_utf8(name).unwrap())
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let hostile = prop::sample::select(vec![
        &b"x\nfake=1"[..],
        b"\" domain=1 path=\"/etc/shadow",
        b"\x1b]8;;http://a\x07",
        b"/a b=c",
        b"\xe2\x80\xae",
        b"41",
        b"DEADBEEF",
        b"audit(1.2:3): ",
        b"\0abstract",
        b"\xff\xfe",
    ]);
    prop_oneof![hostile.prop_map(<[u8]>::to_vec), prop::collection::vec(1_u8..=255, 1..300)]
}

fn access(name: &[u8]) -> Event {
    let text =
        format!("audit(1.002:3): domain=a blockers=fs.read_file path={} ino=5", as_the_kernel_writes(name));
    match parse(1423, text.as_bytes()).unwrap().unwrap() {
        (stamp, Record::What(what)) => Event { stamp, what, task: None },
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_everything_that_is_read_fits_a_line(
        kind in prop::sample::select(KINDS.to_vec()),
        stamped in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut text = if stamped { b"audit(1.2:3): ".to_vec() } else { Vec::new() };
        text.extend(bytes);
        if let Ok(Some((stamp, Record::What(what)))) = parse(kind, &text) {
            let line = Report::Event(Box::new(Event { stamp, what, task: None })).line();
            prop_assert!(line.len() <= bounds::LINE);
        }
    }

    #[test]
    fn fields_in_any_order_and_number_are_read_or_refused(
        kind in prop::sample::select(KINDS.to_vec()),
        words in prop::collection::vec("(domain|pid|uid|path|blockers|status|denials|op|audit_x|arch|syscall|sig|code|opid|comm)=(\"[ -~]{0,9}|[0-9A-F]{0,20}|allocated|deallocated)", 0..90),
    ) {
        let text = format!("audit(1.2:3): {}", words.join(" "));
        let _ = parse(kind, text.as_bytes());
    }

    #[test]
    fn f2_f11_a_name_arrives_as_it_is_and_changes_nothing_else(name in name()) {
        let event = access(&name);
        let What::Access(access) = &event.what else { panic!() };
        prop_assert_eq!((access.domain, access.blockers.text.as_str()), (10, "fs.read_file"));
        let Object::Path { path, inode, .. } = &access.object else { panic!() };
        prop_assert_eq!(*inode, Some(5));
        match std::str::from_utf8(&name) {
            Ok(text) => prop_assert_eq!((&*path.text, &path.exact), (text, &None)),
            Err(_) => {
                let exact = path.exact.as_ref().unwrap();
                let bytes: Vec<u8> = (0..exact.len() / 2)
                    .map(|at| u8::from_str_radix(&exact[2 * at..2 * at + 2], 16).unwrap())
                    .collect();
                prop_assert_eq!(bytes, name);
            }
        }
    }

    #[test]
    fn reports_are_the_same_on_the_other_side_however_they_are_cut(
        names in prop::collection::vec(name(), 1..5),
        pieces in 1_usize..50,
    ) {
        let sent: Vec<_> = names.iter().map(|name| Report::Event(Box::new(access(name)))).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(Report::line).collect();
        let mut reports = Reports::default();
        let mut received = Vec::new();
        for piece in bytes.chunks(pieces) {
            reports.push(piece);
            while let Some(report) = reports.next_report().unwrap() {
                received.push(report);
            }
        }
        prop_assert_eq!(received, sent);
    }

    #[test]
    fn what_no_reader_writes_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut reports = Reports::default();
        reports.push(&bytes);
        reports.push(b"\n");
        while let Ok(Some(_)) = reports.next_report() {}
    }

    #[test]
    fn no_event_is_lost_and_memory_is_bounded_whatever_ends_are_missing(
        serials in prop::collection::vec((0_u64..200, 0_u8..4), 0..600),
    ) {
        let mut assembler = Assembler::default();
        let (mut given, mut told) = (0, 0);
        let start = Instant::now();
        for (serial, which) in serials {
            let text = match which {
                0 | 1 => { given += 1; (1423, "domain=1 blockers=fs.make_reg path=\"/a\"") }
                2 => (1300, "arch=c000003e syscall=1 pid=2 uid=3 comm=\"a\" exe=\"/b\""),
                _ => (1320, ""),
            };
            let line = format!("audit(1.002:{serial}): {}", text.1);
            let (stamp, record) = parse(text.0, line.as_bytes()).unwrap().unwrap();
            assembler.take(stamp, record, start, &mut |_| told += 1);
            prop_assert!(given - told <= bounds::GROUPS * bounds::PARTS);
        }
        assembler.expire(start + bounds::AGE + Duration::from_millis(1), &mut |_| told += 1);
        prop_assert_eq!((given, assembler.due()), (told, None));
    }
}

#[test]
fn the_longest_records_fit_a_line_at_their_worst() {
    // 4480 bytes in hex are what a record has room for.
    for byte in ["01", "FF", "E2"] {
        let path = byte.repeat(4480);
        let text = format!("audit(1.002:3): domain=a blockers=fs.read_file path={path}");
        let Ok(Some((stamp, Record::What(what)))) = parse(1423, text.as_bytes()) else { panic!() };
        let names = format!("audit(1.002:3): arch=1 syscall=1 pid=1 uid=1 comm={byte} exe={path}");
        let Ok(Some((_, Record::Task(task)))) = parse(1300, names.as_bytes()) else { panic!() };
        let line = Report::Event(Box::new(Event { stamp, what, task: Some(task) })).line();
        assert!(line.len() <= bounds::LINE, "{}", line.len());
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_before_it_ends() {
    let mut reports = Reports::default();
    reports.push(&vec![b' '; bounds::LINE]);
    assert!(reports.next_report().unwrap().is_none());
    reports.push(b"  ");
    assert!(reports.next_report().is_err());
}

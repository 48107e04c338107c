use proptest::prelude::*;
use stockade_ipc::bounds::{CONTROL, PAYLOAD, PAYLOAD_FRAME, WRITE};
use stockade_ipc::phase::Sender;
use stockade_ipc::{
    Ask, Bytes, Call, Fault, FrameBuffer, HEADER, Hello, Kind, Log, LogLevel, Outcome, PROTOCOL, Phase,
    Phases, Return, ToHost, ToWorker, codec,
};

use crate::made::{session, session_for, to_host, to_worker};

fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = buffer.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        buffer.filled(count);
        bytes = &bytes[count..];
    }
}

/// What a host in `phase` makes of these bytes.
fn judge(phases: &Phases, bytes: &[u8]) -> Result<Option<(Kind, Vec<u8>)>, Fault> {
    let mut buffer = FrameBuffer::default();
    feed(&mut buffer, bytes);
    buffer.next(Sender::Worker, phases).map(|frame| frame.map(|(kind, body)| (kind, body.to_vec())))
}

fn header(len: u32, kind: u8) -> Vec<u8> {
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.extend([kind, PROTOCOL, 0, 0]);
    bytes
}

fn framed(message: &ToHost) -> Vec<u8> {
    let mut out = Vec::new();
    message.frame(&mut out).unwrap();
    out
}

fn log(line: &str) -> ToHost {
    Log { level: LogLevel::Info, line: line.into(), fields: Vec::new() }.into()
}

/// The largest body of a kind, one more, and the numbers that overflow: judged on eight bytes.
#[test]
fn b1_lengths_are_judged_on_the_header() {
    for number in 1..=13 {
        let kind = Kind::from_u8(number).unwrap();
        if kind.row().sender != Sender::Worker {
            continue;
        }
        let (_, phases) = session_for(kind);
        let max = u32::try_from(kind.row().max).unwrap();
        if max > 0 {
            assert_eq!(judge(&phases, &header(max, number)), Ok(None), "{kind:?} at its limit");
        }
        for len in [max + 1, u32::MAX, i32::MIN.cast_unsigned(), u32::MAX - 8, u32::MAX - 7] {
            let expected = Fault::TooLong { kind, len: len as usize, max: max as usize };
            assert_eq!(judge(&phases, &header(len, number)), Err(expected), "{kind:?} of {len}");
        }
    }
}

#[test]
fn b1_bodies_that_are_too_short_do_not_decode() {
    let phases = session(Phase::Calling);
    for kind in [Kind::Return, Kind::Ask, Kind::Log, Kind::Refused] {
        for len in [0_u8, 1, 7] {
            let mut bytes = header(len.into(), kind as u8);
            bytes.extend(vec![0; len.into()]);
            let (kind, body) = judge(&phases, &bytes).unwrap().unwrap();
            assert!(matches!(ToHost::decode(kind, &body), Err(Fault::Decode(_))), "{kind:?} of {len}");
        }
    }
}

#[test]
fn b1_a_message_without_fields_has_no_body() {
    let phases = session(Phase::Boot);
    assert!(judge(&phases, &header(0, Kind::Confined as u8)).unwrap().is_some());
    assert!(matches!(judge(&phases, &header(1, Kind::Confined as u8)), Err(Fault::TooLong { .. })));
}

#[test]
fn b1_half_a_header_is_nothing_yet_and_torn() {
    let frame = framed(&log("hello"));
    for cut in 1..frame.len() {
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, &frame[..cut]);
        assert_eq!(buffer.next(Sender::Worker, &session(Phase::Calling)), Ok(None));
        assert!(buffer.is_torn());
    }
    assert!(!FrameBuffer::default().is_torn());
}

/// A header that was not judged yet must not make room either.
#[test]
fn b1_a_claim_over_its_limit_gets_no_room() {
    for claimed in [u32::MAX, 1 << 31, u32::try_from(PAYLOAD_FRAME).unwrap() + 1] {
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, &header(claimed, Kind::Return as u8));
        assert!(buffer.space().len() <= CONTROL);
    }
}

#[test]
fn b4_unknown_kinds_other_versions_and_reserved_bytes_are_refused() {
    let phases = session(Phase::Calling);
    for kind in (0..=255).filter(|kind| !(1..=16).contains(kind)) {
        assert_eq!(judge(&phases, &header(0, kind)), Err(Fault::UnknownKind(kind)));
    }
    for protocol in (0..=255).filter(|&protocol| protocol != PROTOCOL) {
        let mut bytes = framed(&log(""));
        bytes[5] = protocol;
        assert_eq!(judge(&phases, &bytes), Err(Fault::Protocol(protocol)));
    }
    for (at, value) in [(6, 1), (7, 1), (6, 255), (7, 128)] {
        let mut bytes = framed(&log(""));
        bytes[at] = value;
        assert_eq!(judge(&phases, &bytes), Err(Fault::Reserved));
    }
}

#[test]
fn b4_messages_of_the_other_direction_are_refused() {
    for kind in [Kind::Load, Kind::Compile, Kind::Call, Kind::Answer] {
        for phase in [Phase::Boot, Phase::Confined, Phase::Loading, Phase::Idle, Phase::Calling] {
            assert_eq!(judge(&session(phase), &header(0, kind as u8)), Err(Fault::Direction(kind)));
        }
        assert!(matches!(ToHost::decode(kind, &[]), Err(Fault::Direction(_))));
    }
    assert!(matches!(ToWorker::decode(Kind::Log, &[]), Err(Fault::Direction(_))));
}

#[test]
fn b4_trailing_bytes_are_refused() {
    let frame = framed(&log("hello"));
    let mut body = frame[HEADER..].to_vec();
    assert!(ToHost::decode(Kind::Log, &body).is_ok());
    body.push(0);
    assert!(matches!(ToHost::decode(Kind::Log, &body), Err(Fault::Trailing(1))));
    assert!(matches!(ToHost::decode(Kind::Loaded, &[0; 3]), Err(Fault::Trailing(3))));
}

#[test]
fn b4_invalid_utf8_is_refused() {
    let mut body = framed(&log("hello"))[HEADER..].to_vec();
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"] {
        let at = body.len() - 5;
        body[at..at + bad.len()].copy_from_slice(bad);
        assert!(matches!(ToHost::decode(Kind::Log, &body), Err(Fault::Decode(_))), "{bad:?}");
    }
}

#[test]
fn b4_discriminants_out_of_range_are_refused() {
    for (kind, variants) in [(Kind::Log, 5_u32), (Kind::Ask, 4), (Kind::Rejected, 7)] {
        for discriminant in [variants, variants + 1, 255, 256, 1 << 31, u32::MAX] {
            let mut body = discriminant.to_le_bytes().to_vec();
            body.extend([0; 8]);
            assert!(matches!(ToHost::decode(kind, &body), Err(Fault::Decode(_))), "{kind:?} {discriminant}");
        }
    }
    let call = 0_u64.to_le_bytes();
    let outcome = [&call[..], &3_u32.to_le_bytes(), &0_u64.to_le_bytes()].concat();
    assert!(matches!(ToHost::decode(Kind::Return, &outcome), Err(Fault::Decode(_))));
    // An option's tag is 0 or 1. A world: no imports, no exports, then `tool_interface`.
    let world = [&0_u64.to_le_bytes()[..], &0_u64.to_le_bytes(), &[2], &0_u64.to_le_bytes()].concat();
    assert!(matches!(ToHost::decode(Kind::Compiled, &world), Err(Fault::Decode(_))));
}

#[test]
fn texts_over_their_limits_are_implausible() {
    let long = |len: usize| "x".repeat(len);
    let implausible = |message: ToHost| {
        let frame = framed(&message);
        let claim = ToHost::decode(message.kind(), &frame[HEADER..]).unwrap();
        matches!(claim.check(), Err(Fault::Implausible(_)))
    };
    assert!(!implausible(log(&long(4096))) && implausible(log(&long(4097))));
    assert!(implausible(Hello { filter: long(257), filter_digest: [0; 32] }.into()));
    assert!(implausible(ToHost::Ask(Ask::ConfigGet { key: long(257) })));
    let write = |len| ToHost::Ask(Ask::FsWrite { file: 0, at: None, bytes: Bytes(vec![0; len]) });
    assert!(!implausible(write(WRITE)));
    assert!(implausible(write(WRITE + 1)));
    assert!(!implausible(ToHost::Ask(Ask::FsOpen { path: long(4095) })));
    assert!(implausible(ToHost::Ask(Ask::FsOpen { path: long(4096) })));
    assert!(!implausible(Return { call: 0, outcome: Outcome::Value(long(PAYLOAD)) }.into()));
    assert!(implausible(Return { call: 0, outcome: Outcome::Value(long(PAYLOAD + 1)) }.into()));
}

#[test]
fn a_message_over_its_limit_is_not_sent_and_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    let call = |len| ToWorker::from(Call { call: 1, tool: "t".into(), arguments: "x".repeat(len) });
    assert_eq!(call(PAYLOAD_FRAME).frame(&mut out), Err(Fault::Encode));
    assert_eq!(log(&"x".repeat(CONTROL)).frame(&mut out), Err(Fault::Encode));
    assert_eq!(out, b"before");
    call(PAYLOAD).frame(&mut out).unwrap();
}

#[test]
fn a_large_frame_leaves_no_large_buffer_with_an_idle_session() {
    let mut buffer = FrameBuffer::default();
    let phases = session(Phase::Calling);
    let large = Return { call: 0, outcome: Outcome::Value("x".repeat(PAYLOAD)) };
    feed(&mut buffer, &framed(&large.into()));
    buffer.rest();
    assert!(buffer.next(Sender::Worker, &phases).unwrap().is_some(), "a frame that has begun stays");
    assert!(buffer.is_large());
    buffer.rest();
    assert!(!buffer.is_large() && buffer.space().len() <= CONTROL);
}

proptest! {
    #[test]
    fn every_message_to_the_host_comes_back_whole(message in to_host()) {
        let (sender, phases) = session_for(message.kind());
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, &framed(&message));
        let (kind, body) = buffer.next(sender, &phases).unwrap().unwrap();
        prop_assert_eq!(kind, message.kind());
        // What was made up need not be plausible; decoding again shows the same either way.
        let again: Result<ToHost, Fault> = ToHost::decode(kind, body).unwrap().check();
        match again {
            Ok(again) => prop_assert_eq!(again, message),
            Err(fault) => prop_assert!(matches!(fault, Fault::Implausible(_))),
        }
        prop_assert_eq!(buffer.next(sender, &phases), Ok(None));
        prop_assert!(!buffer.is_torn());
    }

    #[test]
    fn every_message_to_the_worker_comes_back_whole(message in to_worker()) {
        let (sender, phases) = session_for(message.kind());
        let mut buffer = FrameBuffer::default();
        let mut bytes = Vec::new();
        message.frame(&mut bytes).unwrap();
        feed(&mut buffer, &bytes);
        let (kind, body) = buffer.next(sender, &phases).unwrap().unwrap();
        prop_assert_eq!(ToWorker::decode(kind, body), Ok(message));
    }

    #[test]
    fn b2_frames_survive_any_chunking(
        lines in prop::collection::vec(".{0,60}", 1..12),
        cuts in prop::collection::vec(1..40_usize, 1..60),
    ) {
        let phases = session(Phase::Calling);
        let stream: Vec<u8> = lines.iter().flat_map(|line| framed(&log(line))).collect();
        let mut buffer = FrameBuffer::default();
        let (mut rest, mut seen) = (&stream[..], Vec::new());
        for cut in cuts.into_iter().cycle() {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            feed(&mut buffer, now);
            rest = later;
            while let Some((kind, body)) = buffer.next(Sender::Worker, &phases).unwrap() {
                let Ok(ToHost::Log(log)) = ToHost::decode(kind, body).unwrap().check() else { panic!() };
                seen.push(log.line);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(seen, lines);
        prop_assert!(!buffer.is_torn());
    }

    #[test]
    fn b21_a_changed_byte_is_a_fault_or_another_message_but_never_a_panic(
        messages in prop::collection::vec(to_host(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        phase in prop::sample::select(vec![Phase::Boot, Phase::Loading, Phase::Calling]),
    ) {
        let mut stream: Vec<u8> = messages.iter().flat_map(framed).collect();
        for (at, value) in changes {
            let at = at.index(stream.len());
            stream[at] = value;
        }
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, &stream);
        let phases = session(phase);
        while let Ok(Some((kind, body))) = buffer.next(Sender::Worker, &phases) {
            if let Ok(claim) = ToHost::decode(kind, body) {
                let _ = claim.check();
            }
        }
    }

    #[test]
    fn b4_a_body_has_one_encoding_only(message in to_host(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut body = framed(&message)[HEADER..].to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            body[at] = value;
        }
        if let Ok(Ok(decoded)) = ToHost::decode(message.kind(), &body).map(stockade_ipc::Untrusted::check) {
            prop_assert_eq!(&framed(&decoded)[HEADER..], &body[..]);
        }
    }

    #[test]
    fn b20_noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), number in 1..=13_u8) {
        let kind = Kind::from_u8(number).unwrap();
        let _ = ToWorker::decode(kind, &bytes);
        if let Ok(claim) = ToHost::decode(kind, &bytes) {
            let _ = claim.check();
        }
        let _ = judge(&session(Phase::Calling), &bytes);
        let _: Result<Vec<String>, _> = codec::decode(&bytes);
    }
}

//! Target `decode`: bytes in any pieces through frame, phase, message and claim, as the host and the
//! confined programs take them in.

use stockade_ipc::bounds::{CONTROL, PAYLOAD_FRAME};
use stockade_ipc::phase::Sender;
use stockade_ipc::{Fault, FrameBuffer, HEADER, Kind, Phase, Phases, ToHost, ToWorker, Untrusted};
use stockade_package::{check_imports, tools_of_world};

use crate::accounting::peak_of;

/// An element that takes four bytes in a frame takes at most 40 in memory, and growing holds two copies.
const SPREAD: usize = 80;
/// serde makes room for at most 1 MiB of elements that are only claimed; claims nest three deep.
const CLAIMED: usize = 3 << 20;
/// A buffer that grows holds the old one meanwhile.
const BUFFERED: usize = 3 * PAYLOAD_FRAME;

/// The first byte says who speaks and where the session stands, the second how the stream is cut up; the
/// rest is the stream.
pub fn decode(input: &[u8]) {
    let [setting, cuts, stream @ ..] = input else { return };
    let speaker = if setting & 1 == 0 { Sender::Worker } else { Sender::Host };
    let mut peers = Peers {
        phases: Phases::default(),
        compiles: setting & 2 != 0,
        returns: setting & 4 != 0,
        greeted: false,
    };
    peers.walk(usize::from(setting >> 3));
    let ((), peak) = peak_of(|| receive(speaker, peers, *cuts, stream));
    let bound = BUFFERED + CLAIMED + SPREAD * stream.len() + 2 * PAYLOAD_FRAME;
    assert!(peak <= bound, "{} bytes of stream made room for {peak}", stream.len());
}

/// Both ends of a session, of which one is played honestly.
struct Peers {
    phases: Phases,
    /// Whether the host wants a component compiled, or a worker loaded.
    compiles: bool,
    /// Whether an honest worker ends its call at once, or goes on asking.
    returns: bool,
    /// Whether the worker has said its first words.
    greeted: bool,
}

impl Peers {
    fn step(&mut self, kind: Kind) {
        assert_eq!(self.phases.check(kind.row().sender, kind, 0), Ok(()), "an honest step");
        self.advance(kind);
    }

    fn advance(&mut self, kind: Kind) {
        let before = self.phases.now();
        self.phases.advance(kind);
        assert!(kind != Kind::Hello || !self.greeted, "a second Hello");
        self.greeted |= kind == Kind::Hello;
        assert_eq!(Some(self.phases.now()), leads_to(before, kind), "{kind:?} in {before:?}");
    }

    /// So many honest steps from the start.
    fn walk(&mut self, steps: usize) {
        let load = if self.compiles { Kind::Compile } else { Kind::Load };
        let way = [Kind::Hello, Kind::Confined, load, Kind::Loaded, Kind::Call];
        way.into_iter().take(steps).for_each(|kind| self.step(kind));
    }

    /// What the end that is not `speaker` says, where it is its turn.
    fn other_end(&mut self, speaker: Sender) {
        loop {
            let kind = match (speaker, self.phases.now()) {
                (Sender::Worker, Phase::Confined) if self.compiles => Kind::Compile,
                (Sender::Worker, Phase::Confined) => Kind::Load,
                (Sender::Worker, Phase::Idle) => Kind::Call,
                (Sender::Host, Phase::Boot) if !self.greeted => Kind::Hello,
                (Sender::Host, Phase::Boot) => Kind::Confined,
                (Sender::Host, Phase::Loading) if self.compiles => Kind::Compiled,
                (Sender::Host, Phase::Loading) => Kind::Loaded,
                (Sender::Host, Phase::Calling) if self.returns => Kind::Return,
                _ => return,
            };
            self.step(kind);
        }
    }
}

/// The whole table once more, as docs/protocol.md tells it: where a message leads, if it is legal.
fn leads_to(phase: Phase, kind: Kind) -> Option<Phase> {
    Some(match (phase, kind) {
        (Phase::Boot, Kind::Hello) => Phase::Boot,
        (Phase::Boot, Kind::Confined) => Phase::Confined,
        (Phase::Confined, Kind::Load | Kind::Compile) => Phase::Loading,
        (Phase::Loading, Kind::Loaded) => Phase::Idle,
        (Phase::Loading, Kind::Rejected | Kind::Compiled) => Phase::Closed,
        (Phase::Loading, Kind::Refused) => Phase::Loading,
        (Phase::Idle, Kind::Call) => Phase::Calling,
        (Phase::Idle, Kind::Rest) => Phase::Idle,
        (Phase::Calling, Kind::Return) => Phase::Idle,
        (
            Phase::Calling,
            Kind::Ask | Kind::Answer | Kind::Log | Kind::Refused | Kind::Delegate | Kind::Delegated,
        ) => Phase::Calling,
        _ => return None,
    })
}

fn receive(speaker: Sender, mut peers: Peers, cuts: u8, mut stream: &[u8]) {
    // From the next frame on, whatever of it was handed over already.
    let mut frames = stream;
    let mut buffer = FrameBuffer::default();
    let mut cut = u32::from(cuts);
    loop {
        peers.other_end(speaker);
        let frame = match buffer.next(speaker, &peers.phases) {
            Ok(frame) => frame,
            Err(_) => return,
        };
        if let Some((kind, body)) = frame {
            assert!(body.len() <= kind.row().max, "{kind:?} of {} bytes", body.len());
            assert!(leads_to(peers.phases.now(), kind).is_some(), "{kind:?} in {:?}", peers.phases.now());
            let (frame, rest) = frames.split_at(HEADER + body.len());
            frames = rest;
            match message(speaker, kind, body) {
                Ok(again) => assert_eq!(again, frame, "{kind:?} has another encoding"),
                Err(_) => return,
            }
            peers.advance(kind);
            continue;
        }
        if stream.is_empty() {
            return;
        }
        let space = buffer.space();
        assert!(space.len() <= PAYLOAD_FRAME + HEADER + 2 * CONTROL, "room for {}", space.len());
        let count = piece(&mut cut).min(stream.len()).min(space.len());
        let (now, later) = stream.split_at(count);
        space[..count].copy_from_slice(now);
        buffer.filled(count);
        stream = later;
    }
}

/// How long the next piece is: all at once, byte by byte, or of every length.
fn piece(cut: &mut u32) -> usize {
    match *cut {
        0 => usize::MAX,
        1 => 1,
        _ => {
            *cut = cut.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) | 2;
            (*cut >> 16) as usize % 40 + 1
        }
    }
}

/// Decodes a body. What is taken is encoded once more: there must be one encoding only.
fn message(speaker: Sender, kind: Kind, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut again = Vec::new();
    match speaker {
        Sender::Worker => {
            let message = bounded(kind, body, || ToHost::decode(kind, body).and_then(Untrusted::check))?;
            assert_eq!(message.kind(), kind);
            message.frame(&mut again).expect("what was taken can be sent");
            if let ToHost::Compiled(compiled) = message {
                // What the host makes of a report before anything else.
                let _ = check_imports(&compiled.world);
                let _ = tools_of_world(&compiled.world);
            }
        }
        Sender::Host => {
            let message = bounded(kind, body, || ToWorker::decode(kind, body))?;
            assert_eq!(message.kind(), kind);
            message.frame(&mut again).expect("what was taken can be sent");
        }
    }
    Ok(again)
}

/// Decodes in no more room than the body may take, whether it decodes or not.
fn bounded<T>(kind: Kind, body: &[u8], decode: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let (decoded, peak) = peak_of(decode);
    let large = if body.len() > CONTROL { PAYLOAD_FRAME } else { CONTROL };
    assert!(peak <= CLAIMED + large + SPREAD * body.len(), "{kind:?} of {} made room for {peak}", body.len());
    decoded
}

//! The quick way to read a line: in the one form in which the log writes most of them.
//!
//! What is accepted here, [`Parsed::read`](crate::entry::Parsed) accepts too and understands alike: the tests hold
//! both against each other. Whatever this does not know (an escape, a character outside of ASCII, a number of
//! nineteen digits, a record of the log's own) it leaves to that.

use crate::chain::Hash;
use crate::entry::Parsed;
use crate::line::{HASH_KEY, HASH_SUFFIX};
use crate::{Decision, Layer};

/// What verifying needs of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned<'a> {
    pub(crate) seq: u64,
    pub(crate) time: &'a str,
    pub(crate) layer: Layer,
    pub(crate) decision: Decision,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    /// Whether `hash` is the hash of the line.
    pub(crate) intact: bool,
}

/// A line that was read in one way or the other.
pub(crate) enum Line<'a> {
    Quick(Scanned<'a>),
    Full(Box<Parsed<'a>>),
}

impl<'a> Line<'a> {
    /// Reads a line without its newline; the error says what it is not.
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, String> {
        line(text)
            .map_or_else(|| Ok(Self::Full(Box::new(Parsed::read(text)?))), |quick| Ok(Self::Quick(quick)))
    }

    pub(crate) const fn seq(&self) -> u64 {
        match self {
            Self::Quick(quick) => quick.seq,
            Self::Full(full) => full.wire.seq,
        }
    }

    pub(crate) const fn prev(&self) -> Hash {
        match self {
            Self::Quick(quick) => quick.prev,
            Self::Full(full) => full.prev,
        }
    }

    pub(crate) const fn hash(&self) -> Hash {
        match self {
            Self::Quick(quick) => quick.hash,
            Self::Full(full) => full.hash,
        }
    }

    pub(crate) const fn intact(&self) -> bool {
        match self {
            Self::Quick(quick) => quick.intact,
            Self::Full(full) => full.intact,
        }
    }

    pub(crate) const fn layer(&self) -> Layer {
        match self {
            Self::Quick(quick) => quick.layer,
            Self::Full(full) => full.wire.layer,
        }
    }

    pub(crate) const fn decision(&self) -> Decision {
        match self {
            Self::Quick(quick) => quick.decision,
            Self::Full(full) => full.wire.decision,
        }
    }

    pub(crate) fn time(&self) -> &str {
        match self {
            Self::Quick(quick) => quick.time,
            Self::Full(full) => &full.wire.time,
        }
    }

    /// All of it. Records of the log's own are always read in full, and the first of a file is one.
    pub(crate) fn parsed(&self) -> Option<&Parsed<'a>> {
        match self {
            Self::Quick(_) => None,
            Self::Full(full) => Some(full),
        }
    }
}

/// Reads a line without its newline, if it is of that form.
pub(crate) fn line(line: &[u8]) -> Option<Scanned<'_>> {
    // Then every byte between two quotes is a character of the text between them.
    if !line.iter().fold(true, |plain, byte| plain & (byte.wrapping_sub(0x20) < 0x5f) & (*byte != b'\\')) {
        return None;
    }
    let mut at = Cursor { rest: line };
    at.take(b"{\"v\":1,\"seq\":")?;
    let seq = at.number()?;
    at.take(b",\"time\":")?;
    let time = std::str::from_utf8(at.text()?).ok()?;
    at.take(b",\"mono\":")?;
    at.number()?;
    at.take(b",\"boot\":")?;
    at.text()?;
    at.take(b",\"plugin\":")?;
    if at.take(b"null").is_none() {
        at.take(b"{\"name\":")?;
        at.text()?;
        at.take(b",\"version\":")?;
        at.text()?;
        at.take(b",\"digest\":")?;
        at.text()?;
        at.take(b",\"type\":")?;
        at.text()?;
        at.take(b"}")?;
    }
    at.take(b",\"launch\":")?;
    if at.take(b"null").is_none() {
        at.text()?;
    }
    at.take(b",\"call\":")?;
    if at.take(b"null").is_none() {
        at.number()?;
    }
    at.take(b",\"layer\":")?;
    let layer = at.text()?;
    // What the log says of itself is read in full.
    let layer =
        Layer::ALL.into_iter().find(|known| *known != Layer::Log && known.as_str().as_bytes() == layer)?;
    at.take(b",\"event\":")?;
    at.text()?;
    at.take(b",\"operation\":")?;
    at.text()?;
    at.take(b",\"resource\":")?;
    at.text()?;
    at.take(b",\"decision\":")?;
    let decision = at.text()?;
    let decision = Decision::ALL.into_iter().find(|known| known.as_str().as_bytes() == decision)?;
    at.take(b",\"rule\":")?;
    if at.take(b"null").is_none() {
        at.take(b"{\"id\":")?;
        at.text()?;
        at.take(b",\"source\":")?;
        at.text()?;
        at.take(b"}")?;
    }
    at.take(b",\"reason\":")?;
    at.text()?;
    at.take(b",\"next_step\":")?;
    at.text()?;
    at.take(b",\"detail\":{")?;
    at.map(|at| if at.rest.first() == Some(&b'"') { at.text().map(drop) } else { at.signed() })?;
    at.take(b",\"cut\":{")?;
    at.map(|at| at.number().map(drop))?;
    at.take(b",\"prev\":\"")?;
    let prev = at.hash()?;
    at.take(b"\"")?;
    if at.rest.len() != HASH_SUFFIX {
        return None;
    }
    at.take(HASH_KEY)?;
    let hash = at.hash()?;
    if at.rest != b"\"}" {
        return None;
    }
    let intact = Hash::of_record(&prev, &line[..line.len() - HASH_SUFFIX]) == hash;
    Some(Scanned { seq, time, layer, decision, prev, hash, intact })
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn take(&mut self, expected: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    /// A string, its quotes included: ASCII without escapes, so that its bytes are its characters.
    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', rest)?;
        self.rest = &rest[end + 1..];
        Some(&rest[..end])
    }

    /// A number of at most 18 digits, in the one spelling that JSON has for it.
    #[inline]
    fn number(&mut self) -> Option<u64> {
        let length = self.rest.iter().take(19).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        // What may stand after a number: a fraction or an exponent may not.
        let ends = matches!(rest.first(), Some(b',' | b'}'));
        if length == 0 || length > 18 || (length > 1 && digits[0] == b'0') || !ends {
            return None;
        }
        self.rest = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    #[inline]
    fn signed(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix(b"-") {
            // JSON readers differ on whether it is a number or a float.
            if rest.first() == Some(&b'0') {
                return None;
            }
            self.rest = rest;
        }
        self.number().map(drop)
    }

    /// What stands in a map after its opening brace, the closing one included.
    fn map(&mut self, mut value: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.take(b"}").is_some() {
            return Some(());
        }
        loop {
            self.text()?;
            self.take(b":")?;
            value(self)?;
            if self.take(b",").is_none() {
                return self.take(b"}");
            }
        }
    }

    fn hash(&mut self) -> Option<Hash> {
        let (hex, rest) = self.rest.split_at_checked(64)?;
        self.rest = rest;
        Hash::from_hex(hex)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::{Stamp, write_line};
    use crate::{Moment, Plugin, Record};

    fn written(record: &Record) -> Vec<u8> {
        let prev = Hash::of_bytes(b"before");
        let moment = Moment { seconds: 1_700_000_000, nanos: 5, monotonic: 77 };
        let stamp = Stamp { seq: 123_456, moment, boot: "0192-f0c1", prev };
        let mut out = Vec::new();
        write_line(&mut out, &stamp, record);
        out.pop();
        out
    }

    fn refusal() -> Record {
        Record::new(Layer::Host, "refused", Decision::Denied)
            .plugin(&Plugin::new("p", "1.0.0", "ab", "node").shared())
            .launch("7")
            .call(3)
            .operation("fs.read")
            .resource("/etc/passwd")
            .rule("fs.read:/src", "command line")
            .detail("nr", 257)
            .detail("below", -5)
            .detail("path", "x".to_owned())
    }

    /// Whatever the quick way accepts, the other accepts and understands alike.
    #[track_caller]
    fn agree(text: &[u8]) -> bool {
        let Some(quick) = line(text) else { return false };
        let slow = Parsed::read(text).unwrap_or_else(|problem| {
            panic!("only the quick way accepts {}: {problem}", String::from_utf8_lossy(text))
        });
        assert_eq!(quick.seq, slow.wire.seq);
        assert_eq!(quick.time, slow.wire.time);
        assert_eq!((quick.layer, quick.decision), (slow.wire.layer, slow.wire.decision));
        assert_eq!((quick.prev, quick.hash, quick.intact), (slow.prev, slow.hash, slow.intact));
        true
    }

    #[test]
    fn what_the_log_writes_of_plugins_goes_the_quick_way() {
        assert!(agree(&written(&refusal())));
        assert!(agree(&written(&Record::new(Layer::Seccomp, "notified", Decision::Killed))));
        let long = "x".repeat(5000);
        assert!(agree(&written(&refusal().resource(long.clone()).reason(long))));
        assert!(line(&written(&Record::new(Layer::Log, "open", Decision::Noted))).is_none());
        assert!(line(&written(&refusal().resource("é"))).is_none());
        assert!(line(&written(&refusal().resource("a\nb"))).is_none());
    }

    #[test]
    fn f1_every_flipped_bit_of_a_line_is_refused_or_not_intact_and_both_ways_agree() {
        let text = written(&refusal());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                agree(&changed);
                assert!(!line(&changed).is_some_and(|scanned| scanned.intact), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn spellings_of_numbers_that_json_does_not_have_are_refused() {
        let text = String::from_utf8(written(&refusal())).unwrap();
        for (from, to) in [
            ("\"call\":3", "\"call\":03"),
            ("\"call\":3", "\"call\":-3"),
            ("\"call\":3", "\"call\":3.0"),
            ("\"call\":3", "\"call\":3e1"),
            ("\"call\":3", "\"call\":"),
            ("\"call\":3", "\"call\":99999999999999999999"),
            ("\"below\":-5", "\"below\":-"),
            ("\"below\":-5", "\"below\":-05"),
            ("\"below\":-5", "\"below\":-0"),
            ("\"below\":-5", "\"below\":+5"),
            ("\"below\":-5", "\"below\":5.5"),
            ("\"below\":-5", "\"below\":true"),
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1", "\"v\":10"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            agree(changed.as_bytes());
            assert!(line(changed.as_bytes()).is_none(), "{to}");
        }
    }

    /// Pieces that a line is made of, and some that it is not.
    const PIECES: [&str; 22] = [
        "\"",
        "{",
        "}",
        ",",
        ":",
        "null",
        "0",
        "-1",
        "1.5",
        "\\u0041",
        "\\",
        " ",
        "é",
        "\u{1}",
        "\"a\":1",
        "\"a\":\"b\"",
        "true",
        "[]",
        "\"v\":1,",
        "18446744073709551615",
        "999999999999999999",
        "1e3",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn f1_lines_with_pieces_put_in_and_taken_out_are_understood_alike(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0..12_usize), 1..4),
        ) {
            let mut text = written(&refusal());
            for (at, piece, gone) in edits {
                let at = at.index(text.len());
                let end = (at + gone).min(text.len());
                text.splice(at..end, PIECES[piece].bytes());
                if text.is_empty() {
                    break;
                }
            }
            agree(&text);
        }

        #[test]
        fn f1_lines_of_any_text_are_understood_alike(
            resource in "[ -~é\\\\\"\u{0}-\u{1f}]{0,40}", key in "[ -~]{0,10}", number in any::<i64>(), value in "[ -~]{0,20}",
        ) {
            let record = refusal().resource(resource).detail(key.clone(), number).detail(format!("{key}2"), value);
            let text = written(&record);
            agree(&text);
            prop_assert!(Parsed::read(&text).unwrap().intact);
        }
    }
}

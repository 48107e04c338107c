use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character does something other than stand there: ends a line, drives a terminal, turns text
/// around, or cannot be seen. (Unicode 16: controls, `Default_Ignorable_Code_Point` without the variation
/// selectors of emoji, `Bidi_Control`, line and paragraph separators, interlinear annotation.)
const fn is_hazard(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Writes `text` as a JSON string that a line, a terminal and a spreadsheet all survive.
///
/// Every hazard becomes `\uXXXX`. So does `=`, `+`, `-` or `@` where an import that splits at commas would
/// see it as the first character of a cell, and so take the cell for a formula. The value a JSON reader
/// gets is the same.
pub(crate) fn write_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut plain = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match CLASS[usize::from(byte)] {
            Class::Plain => {
                at += 1;
                continue;
            }
            Class::Formula => {
                if at > 0 && !matches!(bytes[at - 1], b',' | b';' | b'|' | b'"' | b'\t' | b'\n' | b'\r') {
                    at += 1;
                    continue;
                }
                out.extend_from_slice(&bytes[plain..at]);
                write_unit(out, u16::from(byte));
                at += 1;
            }
            Class::Quote => {
                out.extend_from_slice(&bytes[plain..at]);
                out.extend_from_slice(&[b'\\', byte]);
                at += 1;
            }
            Class::Control => {
                out.extend_from_slice(&bytes[plain..at]);
                write_unit(out, u16::from(byte));
                at += 1;
            }
            Class::Wide => {
                let Some(c) = text[at..].chars().next() else { break };
                if !is_hazard(c) {
                    at += c.len_utf8();
                    continue;
                }
                out.extend_from_slice(&bytes[plain..at]);
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write_unit(out, *unit);
                }
                at += c.len_utf8();
            }
        }
        plain = at;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Whether it is nothing but ASCII that stands for itself, in one cell: most texts are. Without a branch on any byte,
/// so that many are looked at at once.
fn is_plain(bytes: &[u8]) -> bool {
    let formula = matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@'));
    let special = bytes.iter().fold(false, |special, &byte| {
        let cell = (byte == b',') | (byte == b';') | (byte == b'|');
        special | (byte.wrapping_sub(0x20) >= 0x5f) | (byte == b'"') | (byte == b'\\') | cell
    });
    !formula && !special
}

#[derive(Clone, Copy)]
enum Class {
    Plain,
    Formula,
    Quote,
    Control,
    Wide,
}

static CLASS: [Class; 256] = {
    let mut class = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'=' | b'+' | b'-' | b'@' => Class::Formula,
            b'"' | b'\\' => Class::Quote,
            0..0x20 | 0x7f => Class::Control,
            0x80.. => Class::Wide,
            _ => Class::Plain,
        };
        byte += 1;
    }
    class
};

fn write_unit(out: &mut Vec<u8>, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(DIGITS[usize::from(unit >> shift & 15)]);
    }
}

/// Makes a string from a record safe to print: hazards become `\u{..}` and a backslash is doubled, so that
/// what is shown can be read back in one way only.
///
/// ```
/// assert_eq!(stockade_audit::escape_for_terminal("a\u{1b}[2Jb"), r"a\u{1b}[2Jb");
/// ```
pub fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c == '\\' || is_hazard(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c == '\\' {
            out.push_str("\\\\");
        } else if is_hazard(c) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        write_json(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn f2_hazards_become_escapes_with_the_identical_value() {
        let hostile = "a\nb\r\0\x1b[2J\x7f\u{85}\u{9b}\u{202e}\u{2028}\u{200b}\u{feff}\u{e0041}\"\\é漢🦀";
        let text = json(hostile);
        assert!(text.chars().all(|c| !is_hazard(c)), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
        assert!(text.contains("\\udb40\\udc41"), "{text}");
        assert!(text.contains("é漢🦀"), "{text}");
    }

    #[test]
    fn f2_formulas_do_not_begin_a_cell() {
        for formula in ["=1+1", "@SUM(1)", "+1", "-1", "x,=1", "x;@y", "x\",+1"] {
            let text = json(formula);
            for cell in text.split([',', ';', '|', '"']) {
                assert!(!cell.starts_with(['=', '+', '-', '@']), "{formula}: {text}");
            }
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), formula);
        }
        assert_eq!(json("/a-b/c=d"), "\"/a-b/c=d\"");
    }

    proptest::proptest! {
        #[test]
        fn f2_the_quick_way_writes_what_the_slow_one_does(text in "[ -~\\t\u{7f}\u{e9}\u{202e}]{0,40}") {
            // What stands before it makes it no other value, and keeps it from the quick way.
            let (quick, slow) = (json(&text), json(&format!("\"\"{text}")));
            let value = |json: &str| serde_json::from_str::<String>(json).unwrap();
            proptest::prop_assert_eq!(value(&quick), text.as_str());
            proptest::prop_assert_eq!(&slow[5..], &quick[1..]);
        }
    }

    #[test]
    fn f2_terminal_text_has_no_hazards_and_one_reading() {
        assert_eq!(escape_for_terminal("/src/lib.rs"), "/src/lib.rs");
        assert_eq!(escape_for_terminal("\\u{1b}\u{1b}"), "\\\\u{1b}\\u{1b}");
        assert_eq!(escape_for_terminal("\u{202e}txt"), "\\u{202e}txt");
    }
}

//! The bodies that follow a rule's prefix. All are recognised in one pass without going back.

use std::ops::Range;

use crate::alphabet::Alphabet;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// So many bytes of one alphabet, right after the prefix.
    Run(Alphabet, usize, usize),
    /// `name = "value"`, the value so many bytes of one alphabet.
    Assigned(Alphabet, usize, usize),
    /// `name = "value"`, the value anything that looks random.
    AssignedAny,
    /// Three base64url parts with dots between.
    Jwt,
    /// A PEM block of some kind of private key, with a body.
    PrivateKey,
    /// `scheme://user:password@host`
    UrlPassword,
}

/// Longer values are texts, not credentials.
const MAX_ASSIGNED: usize = 200;
const MIN_ASSIGNED: usize = 8;
/// A private key's first line of base64 is 64 long; less is a placeholder.
const MIN_KEY_BODY: usize = 40;
const MAX_PEM_LABEL: usize = 40;
const MAX_USER_INFO: usize = 200;
/// Between a name and its value: `": "`, `" => '`, and columns of spaces.
const MAX_GAP: usize = 24;

impl Shape {
    /// Whether the prefix must not follow a letter, digit or `_`: a name may (`db_password`).
    pub(crate) fn needs_boundary(self) -> bool {
        matches!(self, Self::Run(..) | Self::Jwt)
    }

    /// Where in `after`, the text behind the prefix, the body stands.
    pub(crate) fn body(self, after: &[u8]) -> Option<Range<usize>> {
        match self {
            Self::Run(alphabet, min, max) => run(alphabet, min, max, after),
            Self::Assigned(alphabet, min, max) => {
                let (start, _) = value(after)?;
                let body = run(alphabet, min, max, &after[start..])?;
                Some(start..start + body.end)
            }
            Self::AssignedAny => assigned_any(after),
            Self::Jwt => jwt(after),
            Self::PrivateKey => private_key(after),
            Self::UrlPassword => url_password(after),
        }
    }
}

fn run(alphabet: Alphabet, min: usize, max: usize, after: &[u8]) -> Option<Range<usize>> {
    let length = alphabet.run(&after[..after.len().min(max + 1)]);
    let ends = !after.get(length).is_some_and(u8::is_ascii_alphanumeric);
    ((min..=max).contains(&length) && ends).then_some(0..length)
}

/// Where a value starts that is assigned to the name before `after`, and the quote around it.
fn value(after: &[u8]) -> Option<(usize, Option<u8>)> {
    let window = &after[..after.len().min(MAX_GAP)];
    let mut at = 0;
    // The rest of the name or its closing quote: `password_prod"`, `tokens`.
    while window.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        at += 1;
    }
    at += usize::from(matches!(window.get(at), Some(b'"' | b'\'')));
    let spaces = |at: usize| window[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    at += spaces(at);
    at += match window.get(at..) {
        Some([b':' | b'=', b'=' | b'>', ..]) if window[at..].starts_with(b"==") => return None,
        Some([b':' | b'=', b'=' | b'>', ..]) => 2,
        Some([b':', b':', ..]) => return None,
        Some([b':' | b'=', ..]) => 1,
        _ => return None,
    };
    at += spaces(at);
    match window.get(at) {
        Some(quote @ (b'"' | b'\'' | b'`')) => Some((at + 1, Some(*quote))),
        Some(_) => Some((at, None)),
        None => None,
    }
}

/// A quoted value of one word with letters and digits. Without quotes an expression such as
/// `token = next_token()` looks the same, so those are left alone.
fn assigned_any(after: &[u8]) -> Option<Range<usize>> {
    let (start, quote) = value(after)?;
    let quote = quote?;
    let text = &after[start..after.len().min(start + MAX_ASSIGNED + 1)];
    let end = text.iter().position(|byte| *byte == quote)?;
    let body = &text[..end];
    let word = body.iter().all(|byte| byte.is_ascii_graphic());
    let mixed = body.iter().any(u8::is_ascii_digit) && body.iter().any(u8::is_ascii_alphabetic);
    (end >= MIN_ASSIGNED && word && mixed && !is_code(body)).then_some(start..start + end)
}

/// Paths, templates, names and addresses are values of such names too, and no secrets.
fn is_code(body: &[u8]) -> bool {
    const MARKS: [&[u8]; 9] = [b"${", b"{{", b"$(", b"://", b"::", b"<", b"{}", b"./", b"()"];
    let holds = |mark: &[u8]| body.windows(mark.len()).any(|window| window == mark);
    let name = body.iter().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':')
    }) && body.split(|byte| !byte.is_ascii_alphanumeric()).all(|part| part.len() < 12)
        && body.iter().any(|byte| !byte.is_ascii_alphanumeric());
    name || matches!(body.first(), Some(b'/' | b'$' | b'%' | b'@' | b'#'))
        || MARKS.iter().any(|mark| holds(mark))
}

fn jwt(after: &[u8]) -> Option<Range<usize>> {
    let header = Alphabet::Url.run(after);
    let rest = after.get(header..)?.strip_prefix(b".")?;
    // The payload is a JSON object as well.
    rest.strip_prefix(b"eyJ")?;
    let payload = Alphabet::Url.run(rest);
    let signature = Alphabet::Url.run(rest.get(payload..)?.strip_prefix(b".")?);
    (header >= 10 && payload >= 10 && signature >= 20).then_some(0..header + payload + signature + 2)
}

fn private_key(after: &[u8]) -> Option<Range<usize>> {
    let label = &after[..after.len().min(MAX_PEM_LABEL)];
    let end = label.windows(5).position(|window| window == b"-----")?;
    if !label[..end].ends_with(b"PRIVATE KEY") && !label[..end].ends_with(b"PRIVATE KEY BLOCK") {
        return None;
    }
    // Line ends may be real, or escaped inside a JSON or source text.
    let mut at = end + 5;
    loop {
        match after.get(at..)? {
            [b'\\', b'r' | b'n', ..] => at += 2,
            [b'\r' | b'\n' | b' ' | b'\t' | b'"' | b'+', ..] => at += 1,
            _ => break,
        }
    }
    // The headers of an old encrypted key end in an empty line.
    if after[at..].starts_with(b"Proc-Type:") || after[at..].starts_with(b"Version:") {
        return Some(0..at);
    }
    let body = Alphabet::Base64.run(&after[at..]);
    (body >= MIN_KEY_BODY).then_some(0..at + body)
}

fn url_password(after: &[u8]) -> Option<Range<usize>> {
    let window = &after[..after.len().min(MAX_USER_INFO)];
    let colon = window.iter().position(|byte| !Alphabet::UrlDots.contains(*byte))?;
    if window[colon] != b':' || colon == 0 {
        return None;
    }
    let start = colon + 1;
    let end = start
        + window[start..]
            .iter()
            .position(|byte| !byte.is_ascii_graphic() || b"@/\"'`<>{}$()[],\\".contains(byte))?;
    let host = window.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
    (window[end] == b'@' && host && end - start >= 6).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_values_are_found_behind_the_usual_signs() {
        for text in [
            " = \"a1b2c3d4e5\"",
            ": 'a1b2c3d4e5'",
            "\": \"a1b2c3d4e5\"",
            "_prod := `a1b2c3d4e5`",
            "=> \"a1b2c3d4e5\"",
        ] {
            let body = Shape::AssignedAny.body(text.as_bytes());
            assert_eq!(body.map(|range| &text[range]), Some("a1b2c3d4e5"), "{text}");
        }
    }

    #[test]
    fn code_is_no_assigned_value() {
        for text in [
            " = next(1, 22)",
            " == \"a1b2c3d4e5\"",
            ": \"${TOKEN_1234}\"",
            "::new(\"a1b2c3d4e5\")",
            ": \"path/to-file-12\"",
        ] {
            assert_eq!(Shape::AssignedAny.body(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_run_that_is_too_long_is_another_thing() {
        assert_eq!(Shape::Run(Alphabet::Hex, 4, 4).body(b"abcd\""), Some(0..4));
        assert_eq!(Shape::Run(Alphabet::Hex, 4, 4).body(b"abcde"), None);
        assert_eq!(Shape::Run(Alphabet::Hex, 4, 4).body(b"abcdz"), None);
    }
}

//! The names that more than one document writes.

/// Publisher and name: 64 bytes each. They become directory names.
const MAX_PLUGIN_PART: usize = 64;
/// Longest name of a tool.
const MAX_TOOL: usize = 128;
/// Longest name of an index.
const MAX_INDEX: usize = 256;

/// Whether the text can name a publisher, or a plugin within its publisher.
pub fn is_plugin_part(part: &str) -> bool {
    (1..=MAX_PLUGIN_PART).contains(&part.len())
        && !part.starts_with('-')
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether the text can name a plugin: `publisher/name`.
pub fn is_plugin_name(name: &str) -> bool {
    name.split_once('/').is_some_and(|(publisher, name)| is_plugin_part(publisher) && is_plugin_part(name))
}

/// Whether the text can name an index of plugins: parts of `a-z`, `0-9`, `.`, `-` and `_`, with `/` between them.
pub fn is_index_name(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    name.len() <= MAX_INDEX
        && name.split('/').all(|part| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.bytes().all(plain)
        })
}

/// Whether the text is a SHA-256 in hexadecimal, in the one spelling that is taken.
pub fn is_sha256(digits: &str) -> bool {
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether the text can name a tool.
pub fn is_tool_name(name: &str) -> bool {
    name.len() <= MAX_TOOL
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

//! Finds what the rules describe in the bytes of one file: one pass, linear in the length.

use std::sync::LazyLock;

use crate::alphabet::entropy;
use crate::rules::{RULES, Rule};

/// A credential in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// From 1.
    pub line: usize,
    /// The rule's id.
    pub rule: &'static str,
    /// The rule in words.
    pub description: &'static str,
    /// Enough to recognise the credential, too little to use it.
    pub masked: String,
    /// Of the body, in bits per byte.
    pub entropy: f64,
    start: usize,
    end: usize,
}

/// All credentials in `text`, in order.
pub fn find(text: &[u8]) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let mut at = 0;
    while let Some(pair) = text.get(at..at + 2) {
        if CANDIDATES.contains(pair) {
            for rule in RULES {
                let Some(mut found_here) = matches(rule, text, at) else { continue };
                line += text[counted..found_here.start].iter().filter(|byte| **byte == b'\n').count();
                counted = found_here.start;
                found_here.line = line;
                keep(&mut found, found_here);
            }
        }
        at += 1;
    }
    found
}

/// One finding per place, from the rule that stands first in the table.
fn keep(found: &mut Vec<Match>, new: Match) {
    let rank = |id: &str| RULES.iter().position(|rule| rule.id == id);
    match found.last_mut() {
        Some(last) if new.start < last.end => {
            if rank(new.rule) < rank(last.rule) {
                *last = new;
            }
        }
        _ => found.push(new),
    }
}

fn matches(rule: &Rule, text: &[u8], at: usize) -> Option<Match> {
    let here = &text[at..];
    let prefix = rule.prefixes.iter().find(|prefix| match here.get(..prefix.len()) {
        Some(start) if rule.ignore_case => start.eq_ignore_ascii_case(prefix.as_bytes()),
        Some(start) => start == prefix.as_bytes(),
        None => false,
    })?;
    let before = at.checked_sub(1).map(|before| text[before]);
    if rule.shape.needs_boundary() && before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return None;
    }
    let body = rule.shape.body(&here[prefix.len()..])?;
    let (start, end) = (at + prefix.len() + body.start, at + prefix.len() + body.end);
    let entropy = entropy(&text[start..end]);
    if entropy < rule.min_entropy || is_placeholder(&text[start..end]) {
        return None;
    }
    Some(Match {
        line: 0,
        rule: rule.id,
        description: rule.description,
        masked: mask(prefix, &text[start..end], body.start == 0),
        entropy: (entropy * 100.0).round() / 100.0,
        start: at,
        end,
    })
}

/// Documentation shows credentials of the right form that are none.
fn is_placeholder(body: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"password",
        b"example",
        b"placeholder",
        b"changeme",
        b"your",
        b"xxxx",
        b"redacted",
        b"dummy",
        b"....",
        b"****",
        b"1234567890",
    ];
    WORDS.iter().any(|word| body.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)))
}

/// The prefix where it is part of the credential, then stars, then two characters of a long body.
fn mask(prefix: &str, body: &[u8], with_prefix: bool) -> String {
    let shown = if with_prefix { prefix } else { "" };
    let tail = if body.len() >= 16 { &body[body.len() - 2..] } else { &[] };
    let stars = "*".repeat((body.len() - tail.len()).min(16));
    format!("{shown}{stars}{}", tail.escape_ascii())
}

/// A bit for each pair of bytes that some rule's prefix starts with.
struct Pairs([u64; 1024]);

impl Pairs {
    fn contains(&self, pair: &[u8]) -> bool {
        let index = usize::from(pair[0]) << 8 | usize::from(pair[1]);
        self.0[index >> 6] >> (index & 63) & 1 == 1
    }

    fn insert(&mut self, first: u8, second: u8) {
        let index = usize::from(first) << 8 | usize::from(second);
        self.0[index >> 6] |= 1 << (index & 63);
    }
}

static CANDIDATES: LazyLock<Pairs> = LazyLock::new(|| {
    let mut pairs = Pairs([0; 1024]);
    for rule in RULES {
        for prefix in rule.prefixes {
            let (first, second) = (prefix.as_bytes()[0], prefix.as_bytes()[1]);
            pairs.insert(first, second);
            if rule.ignore_case {
                let (upper, second_upper) = (first.to_ascii_uppercase(), second.to_ascii_uppercase());
                pairs.insert(upper, second);
                pairs.insert(first, second_upper);
                pairs.insert(upper, second_upper);
            }
        }
    }
    pairs
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_hides_the_body() {
        let token = format!("{}{}", "ghp_", "aZ19bY28cX37dW46eV55fU64gT73hS82iR91");
        let found = find(format!("x\nlet t = \"{token}\";").as_bytes());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].line, found[0].rule, found[0].masked.as_str()),
            (2, "github-token", "ghp_****************91")
        );
    }

    #[test]
    fn a_prefix_inside_a_word_is_no_token() {
        assert_eq!(find(format!("x{}{}", "ghp_", "aZ19bY28cX37dW46eV55fU64gT73hS82iR91").as_bytes()), []);
    }

    #[test]
    fn the_issuer_is_named_before_the_generic_rule() {
        let text = format!("token = \"{}{}\"", "xoxb-", "48291047-aB3dE5fG7hJ9kL");
        assert_eq!(find(text.as_bytes()).iter().map(|found| found.rule).collect::<Vec<_>>(), ["slack-token"]);
    }

    #[test]
    fn documentation_is_not_reported() {
        let text = format!(
            "{}{} password = \"your-password-1\" https://user:example1@host",
            "AKIA", "IOSFODNN7EXAMPLE"
        );
        assert_eq!(find(text.as_bytes()), []);
    }
}

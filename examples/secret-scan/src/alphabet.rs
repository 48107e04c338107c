//! The characters that a credential's body is made of.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// `0-9a-f`
    Hex,
    /// `A-Z2-7`
    Base32,
    /// `A-Za-z0-9`
    Alphanumeric,
    /// `A-Za-z0-9_-`
    Url,
    /// `A-Za-z0-9_.-`
    UrlDots,
    /// `A-Za-z0-9+/=`
    Base64,
    /// `A-Za-z0-9/`
    Path,
}

impl Alphabet {
    pub(crate) fn contains(self, byte: u8) -> bool {
        match self {
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            Self::Base32 => matches!(byte, b'A'..=b'Z' | b'2'..=b'7'),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::UrlDots => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
            Self::Path => byte.is_ascii_alphanumeric() || byte == b'/',
        }
    }

    /// How many bytes at the start of `text` are of this alphabet.
    pub(crate) fn run(self, text: &[u8]) -> usize {
        text.iter().take_while(|byte| self.contains(**byte)).count()
    }
}

/// Shannon entropy in bits per byte: English text is near 4, random base64 of 40 bytes near 5.
pub(crate) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = text.len() as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_0_for_one_letter_and_2_for_four() {
        assert_eq!(entropy(b"aaaa").abs(), 0.0);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_ends_at_the_first_other_byte() {
        assert_eq!(Alphabet::Hex.run(b"09af-"), 4);
    }
}

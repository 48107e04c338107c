use crate::bounds;
use crate::event::Text;

/// The fields of a record's text: `name=value`, with spaces between. The kernel writes what others chose either in
/// quotation marks, where it holds none and no space, or in hex: so taking apart comes first, and decoding after.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<(&'a [u8], Value<'a>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    bytes: &'a [u8],
    quoted: bool,
}

impl<'a> Fields<'a> {
    /// Takes apart what it can; never fails.
    pub(crate) fn of(text: &'a [u8]) -> Fields<'a> {
        let mut fields = Vec::new();
        let mut rest = text;
        while fields.len() < bounds::FIELDS {
            let start = rest.iter().position(|&byte| byte != b' ').unwrap_or(rest.len());
            rest = &rest[start..];
            let Some(end) = rest.iter().position(|&byte| matches!(byte, b'=' | b' ')) else { break };
            let (name, after) = rest.split_at(end);
            let Some(after) = after.strip_prefix(b"=") else {
                rest = after;
                continue;
            };
            let (quoted, after) = match after.strip_prefix(b"\"") {
                Some(after) => (true, after),
                None => (false, after),
            };
            let close = if quoted { b'"' } else { b' ' };
            let end = after.iter().position(|&byte| byte == close).unwrap_or(after.len());
            fields.push((name, Value { bytes: &after[..end], quoted }));
            rest = &after[(end + 1).min(after.len())..];
        }
        Fields(fields)
    }

    /// The first of this name.
    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().find(|field| field.0 == name.as_bytes()).map(|field| field.1)
    }

    pub(crate) fn decimal(&self, name: &str) -> Option<u64> {
        self.get(name)?.number(10)
    }

    pub(crate) fn hex(&self, name: &str) -> Option<u64> {
        self.get(name)?.number(16)
    }

    /// What the kernel chose.
    pub(crate) fn word(&self, name: &str) -> Option<Text> {
        Some(Text::of(self.get(name)?.bytes))
    }

    /// What somebody else chose.
    pub(crate) fn untrusted(&self, name: &str) -> Option<Text> {
        let value = self.get(name)?;
        match (value.quoted, value.decoded()) {
            (false, Some(decoded)) => Some(Text::of(&decoded)),
            (false, None) if value.bytes == b"(null)" => None,
            _ => Some(Text::of(value.bytes)),
        }
    }

    /// The first whose name begins so.
    pub(crate) fn named_like(&self, prefix: &str) -> Option<(&'a [u8], Value<'a>)> {
        self.0.iter().find(|field| field.0.starts_with(prefix.as_bytes())).copied()
    }
}

impl Value<'_> {
    pub(crate) fn number(self, radix: u32) -> Option<u64> {
        let text = std::str::from_utf8(self.bytes).ok()?;
        let digits = if radix == 16 { text.strip_prefix("0x").unwrap_or(text) } else { text };
        // `from_str_radix` takes a sign, which the kernel does not write.
        let unsigned = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(digits, radix).ok().filter(|_| unsigned)
    }

    /// The bytes behind the hex; none where it is not hex.
    fn decoded(self) -> Option<Vec<u8>> {
        let (pairs, odd) = self.bytes.as_chunks::<2>();
        if pairs.is_empty() || !odd.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        pairs.iter().map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untrusted(text: &str, name: &str) -> Option<String> {
        Fields::of(text.as_bytes()).untrusted(name).map(|text| text.text)
    }

    #[test]
    fn f11_what_looks_like_fields_inside_of_a_value_is_part_of_the_value() {
        let text = "comm=780A66616B653D31 path=2F612220666F6F3D2262 dev=\"vda\" ino=7";
        assert_eq!(untrusted(text, "comm").unwrap(), "x\nfake=1");
        assert_eq!(untrusted(text, "path").unwrap(), "/a\" foo=\"b");
        assert_eq!(untrusted(text, "fake"), None);
        assert_eq!(untrusted(text, "foo"), None);
        assert_eq!(Fields::of(text.as_bytes()).decimal("ino"), Some(7));
    }

    #[test]
    fn hex_in_quotation_marks_is_a_name_and_odd_or_empty_hex_is_no_hex() {
        assert_eq!(untrusted("comm=\"cafe\"", "comm").unwrap(), "cafe");
        assert_eq!(untrusted("comm=caf", "comm").unwrap(), "caf");
        assert_eq!(untrusted("comm= x=1", "comm").unwrap(), "");
        assert_eq!(untrusted("comm=(null)", "comm"), None);
        assert_eq!(untrusted("path=\"<too_long>\"", "path").unwrap(), "<too_long>");
    }

    #[test]
    fn the_first_of_two_fields_counts_and_words_without_a_sign_are_passed_over() {
        let fields = Fields::of(b"word  a=1 a=2 =3 b");
        assert_eq!(fields.decimal("a"), Some(1));
        assert_eq!(fields.decimal("b"), None);
        assert_eq!(fields.decimal("word"), None);
    }

    #[test]
    fn numbers_have_no_sign_and_no_more_than_64_bits() {
        let fields = Fields::of(b"a=+1 b=-1 c=18446744073709551616 d=0x1F e=\"2\" f=");
        let all = ["a", "b", "c", "f"];
        assert!(all.iter().all(|name| fields.decimal(name).is_none() && fields.decimal(name).is_none()));
        assert_eq!((fields.hex("d"), fields.decimal("e")), (Some(31), Some(2)));
    }

    #[test]
    fn an_open_quotation_ends_with_the_text_and_many_fields_end_somewhere() {
        assert_eq!(untrusted("path=\"/a b=c", "path").unwrap(), "/a b=c");
        let many = "x=1 ".repeat(10_000);
        assert_eq!(Fields::of(many.as_bytes()).0.len(), bounds::FIELDS);
    }
}

use stockade_ipc::bounds::{HTTP_FIELD_COUNT, HTTP_FIELDS, fit};
use stockade_ipc::{Bytes, HttpField};
use stockade_policy::is_of_the_connection;

use super::wit::HeaderError;

/// `fields`
#[derive(Clone, Default)]
pub(crate) struct Fields {
    pub(super) list: Vec<(String, Vec<u8>)>,
    pub(super) immutable: bool,
}

/// The name as it is compared and sent.
fn name(text: &str) -> Result<String, HeaderError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(token) {
        return Err(HeaderError::InvalidSyntax);
    }
    let name = text.to_ascii_lowercase();
    if is_of_the_connection(&name) { Err(HeaderError::Forbidden) } else { Ok(name) }
}

fn value(bytes: &[u8]) -> Result<(), HeaderError> {
    // No line end, no NUL, no other control but the tab.
    if bytes.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)) {
        Ok(())
    } else {
        Err(HeaderError::InvalidSyntax)
    }
}

impl Fields {
    pub(super) fn from_list(list: Vec<(String, Vec<u8>)>) -> Result<Fields, HeaderError> {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields.append(&name, value)?;
        }
        Ok(fields)
    }

    /// What the host told.
    pub(super) fn told(list: Vec<HttpField>) -> Fields {
        Fields { list: list.into_iter().map(|(name, Bytes(value))| (name, value)).collect(), immutable: true }
    }

    /// For the host.
    pub(super) fn tell(&self) -> Vec<HttpField> {
        self.list.iter().map(|(name, value)| (name.clone(), Bytes(value.clone()))).collect()
    }

    pub(super) fn get(&self, wanted: &str) -> Vec<Vec<u8>> {
        let wanted = wanted.to_ascii_lowercase();
        self.list.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn has(&self, wanted: &str) -> bool {
        let wanted = wanted.to_ascii_lowercase();
        self.list.iter().any(|(name, _)| *name == wanted)
    }

    pub(super) fn append(&mut self, wanted: &str, bytes: Vec<u8>) -> Result<(), HeaderError> {
        if self.immutable {
            return Err(HeaderError::Immutable);
        }
        let name = name(wanted)?;
        value(&bytes)?;
        let sizes = self.list.iter().map(|(name, value)| name.len() + value.len());
        if !fit(sizes.chain([name.len() + bytes.len()]), HTTP_FIELD_COUNT, HTTP_FIELDS) {
            return Err(HeaderError::InvalidSyntax);
        }
        self.list.push((name, bytes));
        Ok(())
    }

    pub(super) fn set(&mut self, wanted: &str, values: Vec<Vec<u8>>) -> Result<(), HeaderError> {
        let mut changed = self.clone();
        changed.delete(wanted)?;
        for value in values {
            changed.append(wanted, value)?;
        }
        *self = changed;
        Ok(())
    }

    pub(super) fn delete(&mut self, wanted: &str) -> Result<(), HeaderError> {
        if self.immutable {
            return Err(HeaderError::Immutable);
        }
        let wanted = name(wanted)?;
        self.list.retain(|(name, _)| *name != wanted);
        Ok(())
    }

    /// The length that the body was said to have.
    pub(super) fn content_length(&self) -> Option<u64> {
        let (_, value) = self.list.iter().find(|(name, _)| name == "content-length")?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d5_nothing_gets_between_the_fields() {
        let mut fields = Fields::default();
        for bad in ["", "a b", "a\r\nb", "a:b", "a\0", "\u{e4}", ":path"] {
            assert!(matches!(fields.append(bad, b"x".to_vec()), Err(HeaderError::InvalidSyntax)), "{bad:?}");
        }
        for bad in [&b"a\r\nb: c"[..], b"a\nb", b"a\0", b"a\x7f"] {
            assert!(matches!(fields.append("x", bad.to_vec()), Err(HeaderError::InvalidSyntax)), "{bad:?}");
        }
        for bad in
            ["Host", "connection", "TRANSFER-ENCODING", "te", "upgrade", "expect", "proxy-authorization"]
        {
            assert!(matches!(fields.append(bad, Vec::new()), Err(HeaderError::Forbidden)), "{bad}");
        }
        assert!(fields.list.is_empty());
    }

    #[test]
    fn names_are_compared_in_one_case() {
        let mut fields = Fields::from_list(vec![("X-A".to_owned(), b"1".to_vec())]).ok().unwrap();
        assert_eq!(fields.get("x-a"), [b"1"]);
        assert!(fields.set("x-A", vec![b"2".to_vec(), b"3".to_vec()]).is_ok());
        assert_eq!(fields.get("X-A"), [b"2", b"3"]);
        assert!(fields.delete("X-a").is_ok());
        assert!(!fields.has("x-a"));
    }

    #[test]
    fn there_are_not_too_many() {
        let mut fields = Fields::default();
        while fields.append("x", vec![b'x'; 1000]).is_ok() {}
        assert_eq!(fields.list.len(), HTTP_FIELDS / (1000 + 1 + 16));
        let mut fields = Fields::default();
        while fields.append("x", Vec::new()).is_ok() {}
        assert_eq!(fields.list.len(), HTTP_FIELD_COUNT);
    }
}

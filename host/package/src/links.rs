use crate::PackageError;
use crate::document::Section;

/// Longest address: 2 KiB.
const MAX_LINK: usize = 2048;

const KEYS: &[&str] = &["homepage", "source", "documentation", "issues"];

/// Where there is more about a plugin. Hostile text: nothing of it is ever fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Its page.
    pub homepage: Option<String>,
    /// Its source code.
    pub source: Option<String>,
    /// How it is used.
    pub documentation: Option<String>,
    /// Where to tell what is wrong with it.
    pub issues: Option<String>,
}

pub(crate) fn read(section: &Section<'_>) -> Result<Links, PackageError> {
    section.knows(KEYS)?;
    let link = |key| {
        let Some(text) = section.optional(key, MAX_LINK)? else { return Ok(None) };
        let rest = text.value.strip_prefix("https://").unwrap_or_default();
        // A user before the host would have the address seem to be another's.
        let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
        match !host.is_empty() && !host.contains('@') && rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(text.value.to_owned())),
            false => Err(PackageError::Link { at: text.at, link: text.value.to_owned() }),
        }
    };
    Ok(Links {
        homepage: link("homepage")?,
        source: link("source")?,
        documentation: link("documentation")?,
        issues: link("issues")?,
    })
}

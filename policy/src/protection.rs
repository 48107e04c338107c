//! Every single protection has a name, and a build for tests alone can leave one of them out: the suite
//! has to notice each (docs/decisions/0013). In every other build the question is answered by the
//! compiler, and nothing of this is in the program.

/// The environment variable that names what a test build leaves out: names with a plus between them. The
/// confined programs, which have no environment, are told by their second argument.
#[cfg(feature = "removable-protections")]
const REMOVED: &str = "STOCKADE_REMOVED_PROTECTIONS";

/// Whether this protection stands. Always, but in the test build.
#[cfg(not(feature = "removable-protections"))]
#[inline(always)]
pub const fn stands(_protection: &str) -> bool {
    true
}

/// Whether this protection stands: unless it is the one that the test took out.
#[cfg(feature = "removable-protections")]
pub fn stands(protection: &str) -> bool {
    !removed().split('+').any(|name| name == protection)
}

/// What a host tells a confined program besides, which has no environment to read it from. Nothing, but in
/// the test build.
pub fn word_for_programs() -> Option<String> {
    #[cfg(feature = "removable-protections")]
    return Some(format!("without={}", removed()));
    #[cfg(not(feature = "removable-protections"))]
    None
}

/// What was taken out, as it was named.
#[cfg(feature = "removable-protections")]
fn removed() -> &'static str {
    use std::sync::OnceLock;
    static NAMES: OnceLock<String> = OnceLock::new();
    NAMES.get_or_init(|| {
        let told =
            || std::env::args().nth(2).and_then(|word| Some(word.strip_prefix("without=")?.to_owned()));
        std::env::var(REMOVED).ok().or_else(told).unwrap_or_default()
    })
}

use serde::Deserialize;
use stockade_sdk::ToolError;

/// A package of a registry, as a Cargo.lock names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its one version.
    pub version: String,
    /// Where it is from; none for what lies beside the lock file.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    package: Vec<Locked>,
}

/// The packages that are from a registry, each once, in order.
///
/// # Errors
/// [`ToolError::InvalidArguments`] where the text is no Cargo.lock.
pub fn packages(text: &str) -> Result<Vec<Locked>, ToolError> {
    let lockfile: Lockfile = toml::from_str(text)
        .map_err(|error| ToolError::InvalidArguments(format!("lockfile: {}", error.message())))?;
    let mut packages = lockfile.package;
    packages
        .retain(|package| package.source.as_deref().is_some_and(|source| source.starts_with("registry+")));
    packages.sort();
    packages.dedup();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_a_registry_are_found_each_once() {
        let text = "version = 4\n\
            [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
            [[package]]\nname = \"b\"\nversion = \"2.0.0\"\nsource = \"registry+https://index.example\"\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://index.example\"\n\
            [[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://index.example\"\n\
            [[package]]\nname = \"c\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example\"\n";
        let names: Vec<_> = packages(text).unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(packages("").unwrap().is_empty());
        assert!(matches!(packages("= ="), Err(ToolError::InvalidArguments(_))));
    }
}

//! Every relative link in a document leads to a file, and every `#part` to a heading of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The faults, one line each.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut documents: Vec<PathBuf> =
        ["README.md", "SECURITY.md", "CHANGELOG.md"].iter().map(|name| root.join(name)).collect();
    collect(&root.join("docs"), &mut documents)?;
    let mut faults = Vec::new();
    for document in &documents {
        let text =
            fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
        let shown = document.strip_prefix(root).unwrap_or(document).display();
        for link in links(&text) {
            if let Some(why) = broken(document, &text, link) {
                faults.push(format!("{shown}: {link}: {why}"));
            }
        }
    }
    Ok(faults)
}

fn collect(folder: &Path, documents: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, documents)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    Ok(())
}

/// The targets of `[text](target)`, outside of code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        }
        if code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, further)) = after.split_once(')') else { break };
            links.push(target);
            rest = further;
        }
    }
    links
}

fn broken(document: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, part) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { document.to_path_buf() } else { document.parent()?.join(file) };
    if !target.exists() {
        return Some("no such file".into());
    }
    if part.is_empty() {
        return None;
    }
    let of_target = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&target).ok()? };
    let known = of_target.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == part);
    (!known).then(|| "no such heading".into())
}

/// A heading's anchor, as forges derive it: lower case, spaces to hyphens, punctuation gone.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_code_is_not() {
        let text = "see [a](a.md) and [b](b.md#part)\n```\n[no](code.md)\n```\n[c](#here)";
        assert_eq!(links(text), ["a.md", "b.md#part", "#here"]);
    }

    #[test]
    fn a_missing_file_and_a_missing_heading_are_faults() {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(broken(&document, "# Two words!\n", "#two-words"), None);
        assert!(broken(&document, "# Two words\n", "#three").is_some());
        assert!(broken(&document, "", "no-such-file.md").is_some());
        assert_eq!(broken(&document, "", "https://example.org/x"), None);
    }
}

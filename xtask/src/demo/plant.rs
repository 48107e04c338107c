//! A folder of secrets that nobody owns. They are put together here, so that no text in this repository
//! looks like one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Letters that look random and are the same every time (a multiplicative generator; nothing secret).
fn body(alphabet: &[u8], length: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize
    };
    (0..length).map(|_| char::from(alphabet[next() % alphabet.len()])).collect()
}

/// Writes the folder anew and says how many secrets are in it.
pub(super) fn folder(folder: &Path) -> Result<usize> {
    let files = [
        (
            "deploy/settings.py",
            "AWS_KEY_ID = \"",
            ["AK", "IA"].concat() + &body(UPPER, 16, 1),
            "\"\nREGION = \"eu-west-1\"\n",
        ),
        (".env", "MODE=production\nGITHUB_TOKEN=", ["gh", "p_"].concat() + &body(LETTERS, 36, 2), "\n"),
        (
            "notes/release.md",
            "publish with ",
            ["np", "m_"].concat() + &body(LETTERS, 36, 3),
            " until Friday\n",
        ),
        ("billing/charge.js", "const key = '", ["sk_", "live_"].concat() + &body(LETTERS, 24, 4), "';\n"),
        ("db/connect.sh", "psql postgres://app:", body(LETTERS, 18, 5), "@db.internal/app\n"),
    ];
    for (name, before, secret, after) in &files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().context("a file without a folder")?)?;
        fs::write(&file, format!("{before}{secret}{after}"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    fs::write(folder.join("README.md"), "Nothing to see here.\n")?;
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_look_random_and_are_the_same_every_time() {
        assert_eq!(body(LETTERS, 36, 2), body(LETTERS, 36, 2));
        assert_ne!(body(LETTERS, 36, 2), body(LETTERS, 36, 3));
        let letters: std::collections::HashSet<char> = body(LETTERS, 36, 2).chars().collect();
        assert!(letters.len() > 15);
    }
}

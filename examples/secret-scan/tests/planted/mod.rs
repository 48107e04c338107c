//! Files with credentials in them. They are put together here, at run time, so that no scanner finds
//! one in this repository; none of them opens anything.

use std::fs;
use std::io;
use std::path::Path;

/// One file to plant.
pub struct Planted {
    pub path: &'static str,
    pub text: String,
    /// The line and rule of each credential in it.
    pub secrets: Vec<(usize, &'static str)>,
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &[u8] = b"0123456789abcdef";

/// `length` characters that look random and are the same each time.
fn body(alphabet: &[u8], length: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        alphabet[(state >> 33) as usize % alphabet.len()] as char
    };
    (0..length).map(|_| next()).collect()
}

fn token(prefix: &[&str], alphabet: &[u8], length: usize, seed: u64) -> String {
    prefix.concat() + &body(alphabet, length, seed)
}

/// The files, one or more for each kind of rule.
pub fn files() -> Vec<Planted> {
    let jwt = format!(
        "{}{}.{}{}.{}",
        "ey",
        body(b"JhbGciOiJIUzI1NiJ9", 20, 1).replacen(|_| true, "J", 1),
        "ey",
        body(b"JzdWIiOiIxMjM0", 24, 2).replacen(|_| true, "J", 1),
        body(ALPHANUMERIC, 43, 3)
    );
    let pem = format!(
        "{}BEGIN RSA {} KEY{}\n{}\n{}\n{}END RSA {} KEY{}\n",
        "-----",
        "PRIVATE",
        "-----",
        body(ALPHANUMERIC, 64, 4),
        body(ALPHANUMERIC, 64, 5),
        "-----",
        "PRIVATE",
        "-----"
    );
    vec![
        Planted {
            path: "deploy/.env",
            text: format!(
                "REGION=eu-central-1\nAWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
                token(&["AK", "IA"], BASE32, 16, 6),
                body(ALPHANUMERIC, 40, 7)
            ),
            secrets: vec![(2, "aws-access-key-id"), (3, "aws-secret-access-key")],
        },
        Planted {
            path: "src/client.py",
            text: format!(
                "import os\n\nGITHUB = \"{}\"\nSLACK = '{}'\nSTRIPE = '{}'\n",
                token(&["gh", "p_"], ALPHANUMERIC, 36, 8),
                token(&["xo", "xb-"], ALPHANUMERIC, 40, 9),
                token(&["sk_", "live_"], ALPHANUMERIC, 24, 10)
            ),
            secrets: vec![(3, "github-token"), (4, "slack-token"), (5, "stripe-key")],
        },
        Planted {
            path: "web/config.json",
            text: format!(
                "{{\n  \"maps\": \"{}\",\n  \"session\": \"{jwt}\",\n  \"password\": \"{}\"\n}}\n",
                token(&["AI", "za"], ALPHANUMERIC, 35, 11),
                body(ALPHANUMERIC, 20, 12)
            ),
            secrets: vec![(2, "google-api-key"), (3, "jwt"), (4, "generic-secret")],
        },
        Planted { path: "keys/id_rsa", text: pem, secrets: vec![(1, "private-key")] },
        Planted {
            path: "infra/main.tf",
            text: format!(
                "database = \"postgres://app:{}@db.internal/app\"\ntoken = \"{}\"\nhook = \"https://{}{}\"\n",
                body(HEX, 18, 13),
                token(&["dop", "_v1_"], HEX, 64, 14),
                ["hooks.slack", ".com/services/"].concat(),
                format!("T{}/B{}/{}", body(BASE32, 8, 15), body(BASE32, 8, 16), body(ALPHANUMERIC, 24, 17))
            ),
            secrets: vec![(1, "url-password"), (2, "digitalocean-token"), (3, "slack-webhook")],
        },
    ]
}

/// Writes the files under `folder`.
///
/// # Errors
/// What the file system says.
pub fn plant(folder: &Path) -> io::Result<()> {
    for file in files() {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, file.text)?;
    }
    Ok(())
}

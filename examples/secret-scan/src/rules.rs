//! What a leaked credential looks like. A rule is a prefix that is rare in other text, and a body.

use crate::alphabet::Alphabet::{Alphanumeric, Base32, Base64, Hex, Path, Url, UrlDots};
use crate::shape::Shape::{self, Assigned, AssignedAny, Jwt, PrivateKey, Run, UrlPassword};

pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) description: &'static str,
    /// Where to look closer. At least two bytes each: `find` tells candidates by two.
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) ignore_case: bool,
    pub(crate) shape: Shape,
    /// In bits per byte of the body; keeps `AAAA...` and words out.
    pub(crate) min_entropy: f64,
}

const fn rule(
    id: &'static str,
    description: &'static str,
    prefixes: &'static [&'static str],
    shape: Shape,
) -> Rule {
    Rule { id, description, prefixes, ignore_case: false, shape, min_entropy: 2.5 }
}

#[rustfmt::skip] // a table
pub(crate) const RULES: &[Rule] = &[
    rule("aws-access-key-id", "AWS access key id", &["AKIA", "ASIA"], Run(Base32, 16, 16)),
    Rule { ignore_case: true, min_entropy: 4.0, ..rule("aws-secret-access-key", "AWS secret access key",
        &["aws_secret_access_key", "secretaccesskey"], Assigned(Base64, 40, 40)) },
    rule("github-token", "GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Run(Alphanumeric, 36, 255)),
    rule("github-fine-grained-token", "GitHub fine-grained personal access token", &["github_pat_"], Run(Url, 82, 82)),
    rule("gitlab-token", "GitLab access token", &["glpat-", "gldt-", "glrt-"], Run(Url, 20, 64)),
    rule("slack-token", "Slack token", &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-"], Run(Url, 20, 200)),
    rule("slack-webhook", "Slack incoming webhook", &["hooks.slack.com/services/"], Run(Path, 40, 80)),
    rule("stripe-key", "Stripe live key", &["sk_live_", "rk_live_"], Run(Alphanumeric, 24, 247)),
    rule("stripe-webhook-secret", "Stripe webhook signing secret", &["whsec_"], Run(Alphanumeric, 32, 64)),
    rule("google-api-key", "Google API key", &["AIza"], Run(Url, 35, 35)),
    rule("google-oauth-secret", "Google OAuth client secret", &["GOCSPX-"], Run(Url, 28, 28)),
    rule("anthropic-api-key", "Anthropic API key", &["sk-ant-"], Run(Url, 80, 200)),
    rule("openai-api-key", "OpenAI API key", &["sk-proj-", "sk-svcacct-"], Run(Url, 40, 220)),
    rule("npm-token", "npm access token", &["npm_"], Run(Alphanumeric, 36, 36)),
    rule("pypi-token", "PyPI upload token", &["pypi-AgEIcHlwaS5vcmc"], Run(Url, 50, 400)),
    rule("sendgrid-key", "SendGrid API key", &["SG."], Run(UrlDots, 66, 66)),
    rule("digitalocean-token", "DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"], Run(Hex, 64, 64)),
    rule("huggingface-token", "Hugging Face token", &["hf_"], Run(Alphanumeric, 34, 37)),
    rule("vault-token", "HashiCorp Vault token", &["hvs.", "hvb."], Run(Url, 24, 300)),
    rule("shopify-token", "Shopify token", &["shpat_", "shpss_", "shpca_"], Run(Hex, 32, 32)),
    rule("azure-storage-key", "Azure storage account key", &["AccountKey="], Run(Base64, 88, 88)),
    rule("age-secret-key", "age secret key", &["AGE-SECRET-KEY-1"], Run(Alphanumeric, 58, 58)),
    rule("jwt", "JSON Web Token", &["eyJ"], Jwt),
    rule("private-key", "private key in PEM form", &["-----BEGIN "], PrivateKey),
    Rule { min_entropy: 2.0, ..rule("url-password", "password inside a URL", &["://"], UrlPassword) },
    // Last, so that a rule that knows the issuer is named first.
    Rule { ignore_case: true, min_entropy: 3.0, ..rule("generic-secret", "a credential assigned to a name that says so",
        &["password", "passwd", "secret", "token", "api_key", "apikey", "api-key", "access_key", "accesskey",
          "private_key", "credential"], AssignedAny) },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_prefixes_long_enough_to_look_for() {
        let ids: HashSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        for rule in RULES {
            assert!(rule.prefixes.iter().all(|prefix| prefix.len() >= 2), "{}", rule.id);
            assert!(!rule.description.is_empty());
            let lower = |prefix: &&str| prefix.chars().all(|c| !c.is_ascii_uppercase());
            assert!(!rule.ignore_case || rule.prefixes.iter().all(lower), "{}", rule.id);
        }
    }
}

//! The values of options: read after the command line is, so that what is wrong with them is told like
//! every other problem.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use stockade_host::{GrantRequest, SecretSource};
use stockade_ipc::bounds::{CONFIG_VALUE, PAYLOAD};
use stockade_policy::{Budget, Capability, GuestPath, Source, Unit, is_name};

use crate::failure::Failure;
use crate::output::is_json;

const GRANT: &str = "write --grant fs.RIGHT=HOST_DIR:GUEST_DIR, as --grant fs.read=./src:/src";
const SECRET_GRANT: &str =
    "write --grant secret=NAME@HOST, as --grant secret=token@api.example.org, and --secret token=file:PATH";
const TOOL_GRANT: &str =
    "write --grant tool=PUBLISHER/PLUGIN#TOOL, as --grant tool=stockade/secret-scan#scan";
const MODEL_GRANT: &str = "write --grant model=NAME, with a name from the file of --models";
const HTTP_GRANT: &str = "write --grant 'http=[METHODS ][SCHEME://]HOST[:PORT][/PATH]', as --grant http=api.example.org or --grant 'http=GET,POST api.example.org/v1'";

/// `5s`, `500ms`, `2m`, `12h`, `30d`.
pub(crate) fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Failure::usage(
            "bad-duration",
            option,
            format!("{text:?} is not a duration"),
            "write a whole number and ms, s, m, h or d, as 500ms or 5s",
        )),
    }
}

/// `64MiB`, `512KiB`, `1GiB`, `65536`: bytes.
pub(crate) fn size(option: &str, text: &str) -> Result<u64, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(Failure::usage(
            "bad-size",
            option,
            format!("{text:?} is not a size"),
            "write a whole number and KiB, MiB or GiB, as 64MiB",
        )),
    }
}

/// `fs.read=HOST_DIR:GUEST_DIR` (or `fs.write`, `fs.create`, `fs.delete`), `http=[METHODS ]HOST[:PORT][/PATH]`.
pub(crate) fn grant(text: &str, base: &Path) -> Result<GrantRequest, Failure> {
    let bad = |message: String| Failure::usage("bad-grant", "--grant", message, GRANT);
    let (name, resource) =
        text.split_once('=').ok_or_else(|| bad(format!("{text:?} is not a capability and its resource")))?;
    let capability: Capability = name.parse().map_err(|error| {
        let names: Vec<_> = Capability::ALL.iter().map(|capability| capability.as_str()).collect();
        Failure::usage(
            "unknown-capability",
            "--grant",
            format!("{error}"),
            &format!("the capabilities are {}", names.join(", ")),
        )
    })?;
    let named = |grant: fn(String) -> GrantRequest, valid: bool, next: &str| {
        let message = format!("{resource:?} names none");
        if !valid {
            return Err(Failure::usage("bad-grant", "--grant", message, next));
        }
        Ok(grant(resource.to_owned()).from_source(Source::CommandLine))
    };
    let tree = match capability {
        Capability::Tool => {
            return named(GrantRequest::tool, resource.contains('/') && resource.contains('#'), TOOL_GRANT);
        }
        Capability::Model => return named(GrantRequest::model, is_name(resource), MODEL_GRANT),
        Capability::FsRead => GrantRequest::read_tree,
        Capability::FsWrite => GrantRequest::write_tree,
        Capability::FsCreate => GrantRequest::create_in_tree,
        Capability::FsDelete => GrantRequest::delete_in_tree,
        Capability::Http => {
            let to = resource.parse().map_err(|error| {
                let message = format!("{resource:?}: {error}");
                Failure::usage("bad-grant", "--grant", message, HTTP_GRANT)
            })?;
            return Ok(GrantRequest::http(to).from_source(Source::CommandLine));
        }
        Capability::Secret => {
            let secret = resource.parse().map_err(|error| {
                let message = format!("{resource:?}: {error}");
                Failure::usage("bad-grant", "--grant", message, SECRET_GRANT)
            })?;
            return Ok(GrantRequest::secret(secret).from_source(Source::CommandLine));
        }
        _ => {
            let message = format!("{capability} cannot be granted on the command line in this version");
            return Err(Failure::usage(
                "grant-unavailable",
                "--grant",
                message,
                "grant fs, http, secret, tool or model, or do without",
            ));
        }
    };
    // A directory of the host may have colons in its name.
    let split = resource.rfind(":/").ok_or_else(|| bad(format!("{resource:?} has no :GUEST_DIR")))?;
    let (directory, guest) = (&resource[..split], &resource[split + 1..]);
    if directory.is_empty() {
        return Err(bad(format!("{resource:?} has no HOST_DIR")));
    }
    let root = GuestPath::parse(guest).map_err(|error| bad(format!("{guest:?}: {error}")))?;
    Ok(tree(base.join(directory), root).from_source(Source::CommandLine))
}

/// A grant whose directory means the same wherever somebody stands.
pub(crate) fn absolute_grant(text: &str, absolute: impl Fn(&Path) -> PathBuf) -> Result<String, Failure> {
    grant(text, Path::new(""))?;
    let (name, resource) = text.split_once('=').unwrap_or((text, ""));
    let Some(at) = resource.rfind(":/").filter(|_| name.starts_with("fs.")) else {
        return Ok(text.to_owned());
    };
    let (directory, guest) = resource.split_at(at);
    Ok(format!("{name}={}{guest}", absolute(Path::new(directory)).display()))
}

/// A secret whose file means the same wherever somebody stands.
pub(crate) fn absolute_secret(text: &str, absolute: impl Fn(&Path) -> PathBuf) -> String {
    match text.split_once("=file:") {
        Some((name, path)) => format!("{name}=file:{}", absolute(Path::new(path)).display()),
        None => text.to_owned(),
    }
}

/// `NAME=file:PATH`, `NAME=env:VARIABLE`, `NAME=command:PROGRAM ARGUMENTS`.
pub(crate) fn secret(text: &str, base: &Path) -> Result<(String, SecretSource), Failure> {
    let (name, from) = text.split_once('=').unwrap_or((text, ""));
    let source = source(from, base).ok_or_else(|| {
        Failure::usage(
            "bad-secret",
            "--secret",
            // What follows may be the secret itself.
            format!("{name:?} has no file:, env: or command: behind its ="),
            "write --secret NAME=file:PATH, NAME=env:VARIABLE or NAME=command:PROGRAM",
        )
    })?;
    Ok((name.to_owned(), source))
}

/// `file:PATH`, `env:VARIABLE`, `command:PROGRAM ARGUMENTS`.
pub(crate) fn source(text: &str, base: &Path) -> Option<SecretSource> {
    Some(match text.split_once(':')? {
        ("file", path) if !path.is_empty() => SecretSource::File(base.join(path)),
        ("env", variable) if !variable.is_empty() => SecretSource::Environment(variable.into()),
        ("command", words) if !words.trim().is_empty() => {
            SecretSource::Command(words.split_whitespace().map(Into::into).collect())
        }
        _ => return None,
    })
}

/// `UNIT=NUMBER`, each in the place of what `budget` has.
pub(crate) fn budget(option: &str, texts: &[String], mut budget: Budget) -> Result<Budget, Failure> {
    for text in texts {
        let (unit, amount) = text.split_once('=').unwrap_or((text, ""));
        let unit = Unit::ALL.into_iter().find(|known| known.as_str() == unit);
        let (Some(unit), Ok(amount)) = (unit, amount.parse()) else {
            let units = Unit::ALL.map(Unit::as_str).join(", ");
            return Err(Failure::usage(
                "bad-budget",
                option,
                format!("{text:?} is not a unit and a whole number"),
                &format!("write {option} UNIT=NUMBER; the units are {units}"),
            ));
        };
        budget.set(unit, amount);
    }
    Ok(budget)
}

/// `127.0.0.0/8`, or one address.
pub(crate) fn addresses(text: &str) -> Result<IpNet, Failure> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| one()).map_err(|_| {
        Failure::usage(
            "bad-address-range",
            "--allow-address",
            format!("{text:?} is no range of addresses"),
            "write an address and the length of its prefix, as 10.1.0.0/16 or ::1/128",
        )
    })
}

/// `KEY=JSON`.
pub(crate) fn config(text: &str) -> Result<(String, String), Failure> {
    const NEXT: &str = "write --config KEY=JSON, as --config 'region=\"north\"'";
    let bad = |message: String| Failure::usage("bad-config", "--config", message, NEXT);
    let (key, value) = text.split_once('=').ok_or_else(|| bad(format!("{text:?} has no =")))?;
    if key.is_empty() || key.ends_with('*') {
        return Err(bad(format!("{key:?} is not a key")));
    }
    if !is_json(value) {
        return Err(bad(format!("the value of {key:?} is not JSON")));
    }
    if value.len() > CONFIG_VALUE {
        return Err(bad(format!("the value of {key:?} is longer than {CONFIG_VALUE} bytes")));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A JSON text; `-` reads it from standard input, `@FILE` from a file.
pub(crate) fn arguments(text: &str) -> Result<String, Failure> {
    let read = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        // One more than a call carries, so that the check of the length sees that it is too long.
        source.take(PAYLOAD as u64 + 1).read_to_end(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    };
    let (from, text) = match text.strip_prefix('@') {
        Some(path) => (path, File::open(path).and_then(|mut file| read(&mut file))),
        None if text == "-" => ("standard input", read(&mut io::stdin().lock())),
        None => return Ok(text.to_owned()),
    };
    text.map_err(|error| {
        Failure::usage(
            "arguments-unreadable",
            "--args",
            format!("{from:?} cannot be read: {error}"),
            "give JSON, - for standard input, or @FILE",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(text: &str) -> Result<GrantRequest, Failure> {
        super::grant(text, Path::new(""))
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
        result.expect_err("an error").problem.code
    }

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        assert_eq!(duration("--deadline", "500ms").expect("one"), Duration::from_millis(500));
        assert_eq!(duration("--deadline", "5s").expect("one"), Duration::from_secs(5));
        assert_eq!(duration("--deadline", "2m").expect("one"), Duration::from_secs(120));
        for bad in
            ["", "5", "s", "0s", "-1s", "1.5s", "5 s", "5y", "99999999999999999999s", "9999999999999999999m"]
        {
            assert_eq!(code(duration("--deadline", bad)), "bad-duration", "{bad}");
        }
    }

    #[test]
    fn sizes_are_in_binary_units() {
        assert_eq!(size("--memory", "64MiB").expect("one"), 64 << 20);
        assert_eq!(size("--memory", "1GiB").expect("one"), 1 << 30);
        assert_eq!(size("--memory", "4096").expect("one"), 4096);
        for bad in ["", "MiB", "0", "64MB", "64M", "1.5GiB", "18446744073709551615KiB"] {
            assert_eq!(code(size("--memory", bad)), "bad-size", "{bad}");
        }
    }

    #[test]
    fn grants_split_at_the_last_guest_path() {
        let tree = |directory: &str, root| {
            let root = GuestPath::parse(root).expect("a path");
            GrantRequest::read_tree(directory, root).from_source(Source::CommandLine)
        };
        assert_eq!(grant("fs.read=./src:/src").expect("one"), tree("./src", "/src"));
        assert_eq!(grant("fs.read=/a:b:/c").expect("one"), tree("/a:b", "/c"));
        assert_eq!(grant("fs.read=/a=b:/").expect("one"), tree("/a=b", "/"));
    }

    #[test]
    fn grants_of_requests_are_read_as_the_policy_reads_them() {
        let to = "GET api.example.org/v1".parse().expect("a scope");
        let granted = GrantRequest::http(to).from_source(Source::CommandLine);
        assert_eq!(grant("http=GET https://api.example.org:443/v1").expect("one"), granted);
        assert_eq!(code(grant("http=API.example.org")), "bad-grant");
        assert_eq!(code(grant("log=x")), "grant-unavailable");
    }

    #[test]
    fn grants_of_tools_and_models_name_them() {
        let tool = GrantRequest::tool("a/b#c").from_source(Source::CommandLine);
        assert_eq!(grant("tool=a/b#c").expect("one"), tool);
        for bad in ["tool=", "tool=a", "tool=a#b", "model=", "model=a b"] {
            assert_eq!(code(grant(bad)), "bad-grant", "{bad}");
        }
    }

    #[test]
    fn budgets_are_read_unit_by_unit() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let profile = Budget { tool_calls: 1, model_calls: 2, tokens: 3, cost: 4, http_bytes: 5 };
        let read = |given: &[&str]| budget("--per-day", &texts(given), profile);
        assert_eq!(read(&[]).expect("one"), profile);
        let some = read(&["tokens=9", "cost=0", "tokens=10"]).expect("one");
        assert_eq!(some, Budget { tokens: 10, cost: 0, ..profile });
        for bad in
            ["tokens", "tokens=", "tokens=-1", "tokens=1.5", "token=1", "=1", "cost=18446744073709551616"]
        {
            assert_eq!(code(read(&[bad])), "bad-budget", "{bad}");
        }
    }

    #[test]
    fn ranges_of_addresses_are_networks_or_single_addresses() {
        assert_eq!(addresses("10.1.0.0/16").expect("a range").to_string(), "10.1.0.0/16");
        assert_eq!(addresses("::1").expect("an address").to_string(), "::1/128");
        assert_eq!(code(addresses("10.1.0.0/33")), "bad-address-range");
    }

    #[test]
    fn grants_that_are_none_say_the_form() {
        for bad in
            ["fs.read", "fs.read=", "fs.read=/src", "fs.read=/src:src", "fs.read=:/src", "fs.read=/a:/../b"]
        {
            let failure = grant(bad).expect_err(bad);
            assert_eq!(
                (failure.problem.code, failure.problem.next_step.as_str()),
                ("bad-grant", GRANT),
                "{bad}"
            );
        }
        assert_eq!(code(grant("fs.raed=/a:/b")), "unknown-capability");
    }

    #[test]
    fn config_values_are_json() {
        assert_eq!(config("a=\"b=c\"").expect("one"), ("a".into(), "\"b=c\"".into()));
        for bad in ["a", "=1", "a=", "a=b", "a*=1"] {
            assert_eq!(code(config(bad)), "bad-config", "{bad}");
        }
    }

    #[test]
    fn arguments_come_from_the_command_line_or_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("args.json");
        std::fs::write(&path, "{\"a\":1}").expect("written");
        assert_eq!(arguments("{}").expect("text"), "{}");
        assert_eq!(arguments(&format!("@{}", path.display())).expect("text"), "{\"a\":1}");
        assert_eq!(code(arguments("@/nowhere/args.json")), "arguments-unreadable");
        std::fs::write(&path, [0xff]).expect("written");
        assert_eq!(code(arguments(&format!("@{}", path.display()))), "arguments-unreadable");
    }
}

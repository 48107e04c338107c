//! The values of options: read after the command line is, so that what is wrong with them is told like
//! every other problem.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use stockade_ipc::bounds::{CONFIG_VALUE, PAYLOAD};
use stockade_policy::{Capability, GuestPath};

use crate::failure::Failure;
use crate::output::is_json;

const GRANT: &str = "write --grant fs.RIGHT=HOST_DIR:GUEST_DIR, as --grant fs.read=./src:/src";

/// What `--grant` opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) capability: Capability,
    pub(crate) directory: PathBuf,
    pub(crate) root: GuestPath,
}

/// `5s`, `500ms`, `2m`.
pub(crate) fn duration(option: &str, text: &str) -> Result<Duration, Failure> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Failure::usage(
            "bad-duration",
            option,
            format!("{text:?} is not a duration"),
            "write a whole number and ms, s or m, as 500ms or 5s",
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

/// `fs.read=HOST_DIR:GUEST_DIR`, or `fs.write`, `fs.create`, `fs.delete`. A host directory may have colons in its name.
pub(crate) fn grant(text: &str) -> Result<Grant, Failure> {
    let bad = |message: String| Failure::usage("bad-grant", "--grant", message, GRANT);
    let (name, trees) =
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
    let split = trees.rfind(":/").ok_or_else(|| bad(format!("{trees:?} has no :GUEST_DIR")))?;
    let (directory, guest) = (&trees[..split], &trees[split + 1..]);
    if directory.is_empty() {
        return Err(bad(format!("{trees:?} has no HOST_DIR")));
    }
    let root = GuestPath::parse(guest).map_err(|error| bad(format!("{guest:?}: {error}")))?;
    Ok(Grant { capability, directory: PathBuf::from(directory), root })
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

    fn code<T: std::fmt::Debug>(result: Result<T, Failure>) -> &'static str {
        result.expect_err("an error").problem.code
    }

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        assert_eq!(duration("--deadline", "500ms").expect("one"), Duration::from_millis(500));
        assert_eq!(duration("--deadline", "5s").expect("one"), Duration::from_secs(5));
        assert_eq!(duration("--deadline", "2m").expect("one"), Duration::from_secs(120));
        for bad in
            ["", "5", "s", "0s", "-1s", "1.5s", "5 s", "5h", "99999999999999999999s", "9999999999999999999m"]
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
        let grant =
            |text| super::grant(text).map(|g| (g.directory.display().to_string(), g.root.to_string()));
        assert_eq!(grant("fs.read=./src:/src").expect("one"), ("./src".into(), "/src".into()));
        assert_eq!(grant("fs.read=/a:b:/c").expect("one"), ("/a:b".into(), "/c".into()));
        assert_eq!(grant("fs.read=/a=b:/").expect("one"), ("/a=b".into(), "/".into()));
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

//! `stockade search`, and `stockade index`: what there is to install.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use stockade_host::install::{Allow, IndexAt, Indexes};
use stockade_package::Package;
use stockade_package::archive;
use stockade_package::index::{Index, Listed};

use crate::args::{Believing, IndexArguments, IndexCommand, IndexMakeCommand, SearchCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, date};
use crate::progress::Progress;
use crate::table::Table;
use crate::{policy, run, value};

impl Believing {
    pub(crate) fn allow(&self) -> Allow {
        Allow {
            unsigned: self.allow_unsigned,
            other_signer: self.allow_other_signer,
            plain_http: self.plain_http,
            ..Allow::default()
        }
    }
}

/// Where an index is, in an operator's words: the same wherever somebody stands, since what was seen of it is remembered by
/// that.
pub(crate) fn at(text: Option<&str>) -> Result<IndexAt, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(Failure::usage(
            "index-needed",
            "--index",
            "no index is named".to_owned(),
            "name one with --index FILE or --index https://..., or in STOCKADE_INDEX",
        ));
    };
    if text.starts_with("https://") || text.starts_with("http://") {
        return Ok(IndexAt::Url(text.to_owned()));
    }
    fs::canonicalize(text).map(IndexAt::Path).map_err(|error| {
        let message = format!("{text}: {error}");
        Failure::usage("index-needed", "--index", message, "name a file that is there, or https://...")
    })
}

/// `stockade search`.
pub(crate) fn search(command: &SearchCommand) -> Result<Exit, Failure> {
    let at = at(command.index.as_deref())?;
    let home = Home::find(&command.places)?;
    let policy = policy::read(command.policy.as_deref(), &home.state)?;
    let pems = command.trust.iter().map(|path| run::certificates(path)).collect::<Result<Vec<_>, _>>()?;
    let indexes = Indexes::new(&pems, &home.state, policy).map_err(|error| Failure::of(&error))?;
    let progress = Progress::start("reading the index");
    let index = indexes.take_blocking(&at, &command.believing.allow());
    drop(progress);
    let index = index.map_err(|error| Failure::of(&error))?;
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    let found = index.search(&words);
    match command.output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "index": index.name(), "version": index.version(), "expires": date(index.expires()),
            "plugins": found.iter().map(|listed| document(listed)).collect::<Vec<_>>(),
        })),
        Format::Text if found.is_empty() => output::note("note: the index has nothing like that"),
        Format::Text => {
            let mut table = Table::new(&["PLUGIN", "VERSION", "TYPE", "DESCRIPTION"]);
            for listed in found {
                let newest = listed.versions.iter().rev().find(|release| release.yanked.is_none());
                let version = newest.map_or("yanked".to_owned(), |release| release.version.to_string());
                let plugin_type = listed.versions.last().map_or("", |release| release.plugin_type.as_str());
                table.row([listed.name.as_str(), &version, plugin_type, &listed.description]);
            }
            table.lines().for_each(|line| output::line(&line));
        }
    }
    Ok(Exit::Ok)
}

fn document(listed: &Listed) -> serde_json::Value {
    let versions = listed.versions.iter().map(|release| {
        json!({
            "version": release.version.to_string(), "type": release.plugin_type, "digest": release.digest,
            "bytes": release.bytes, "yanked": release.yanked,
        })
    });
    json!({
        "plugin": listed.name, "description": listed.description, "versions": versions.collect::<Vec<_>>(),
    })
}

/// `stockade index make`.
pub(crate) fn make(arguments: &IndexArguments) -> Result<Exit, Failure> {
    let IndexCommand::Make(IndexMakeCommand { file, packages, name, expires, source, output }) =
        &arguments.command;
    let expires = now() + value::duration("--expires", expires)?.as_secs();
    let before = match fs::read(file) {
        Ok(bytes) => Some(Index::parse(&bytes).map_err(|error| Failure::of(&error).of_file(file))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("{}: {error}", file.display());
            return Err(Failure::usage(
                "bad-file",
                "FILE",
                message,
                "name an index, or a file that is not there",
            ));
        }
    };
    let mut opened = Vec::new();
    for path in packages {
        let package = Package::open(path, None).map_err(|error| Failure::of(&error).of_file(path))?;
        let bytes = fs::metadata(path).map_or(0, |meta| meta.len());
        opened.push((source_of(path, file, source.as_deref())?, package, bytes));
    }
    let listed = opened.iter().map(|(source, package, bytes)| (source.clone(), package, *bytes)).collect();
    let made = match (&before, name) {
        (Some(before), Some(name)) if before.name() != name => {
            let message = format!("{} is the index {}, not {name}", file.display(), before.name());
            return Err(Failure::usage("index-of-another-name", "--name", message, "leave the name out"));
        }
        (Some(before), _) => before.with_packages(before.version() + 1, expires, listed),
        (None, Some(name)) => Index::of_packages(name, 1, expires, listed),
        (None, None) => {
            return Err(Failure::usage(
                "index-name-needed",
                "--name",
                format!("{} is not there yet, and a new index has a name", file.display()),
                "give it one that is yours: --name example.org/plugins",
            ));
        }
    };
    let made = made.map_err(|error| Failure::of(&error))?;
    archive::write(file, made.to_json().as_bytes()).map_err(|error| Failure::of(&error))?;
    match output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "index": made.name(), "version": made.version(), "expires": date(made.expires()),
            "plugins": made.plugins().len(),
        })),
        Format::Text => {
            let (name, version) = (made.name(), made.version());
            let expires = date(made.expires());
            let plugins = match made.plugins().len() {
                1 => "1 plugin".to_owned(),
                many => format!("{many} plugins"),
            };
            output::line(&format!("{name} version {version}: {plugins}, until {expires}"));
            output::note(&format!(
                "to be signed: stockade sign {} --key KEY",
                output::safe(&file.display().to_string())
            ));
        }
    }
    Ok(Exit::Ok)
}

/// Where an index is to say that a package is.
fn source_of(package: &Path, index: &Path, said: Option<&str>) -> Result<String, Failure> {
    if let Some(said) = said {
        return Ok(said.to_owned());
    }
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match index.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => whole(folder),
        _ => env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
    };
    match whole(package).strip_prefix(&folder).ok().and_then(Path::to_str) {
        Some(beside) => Ok(beside.to_owned()),
        None => Err(Failure::usage(
            "source-needed",
            "--source",
            format!("{} is not below the folder of the index", package.display()),
            "put it there, or say with --source where it will be",
        )),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

//! `stockade search`, and `stockade index`: what there is to install.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use stockade_control::{Found, FoundPlugin, Search};
use stockade_host::install::{Allow, IndexAt, Indexes};
use stockade_package::Package;
use stockade_package::archive;
use stockade_package::index::Index;

use crate::args::{Believing, IndexArguments, IndexCommand, IndexMakeCommand, SearchCommand};
use crate::control::Doer;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, date};
use crate::progress::Progress;
use crate::table::Table;
use crate::{control, policy, run, value};

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

/// `stockade search`. Where a host runs on the same state folder it is asked: the log is that host's alone.
pub(crate) fn search(command: &SearchCommand) -> Result<Exit, Failure> {
    let wanted = Search {
        at: at(command.index.as_deref())?,
        allow: command.believing.allow(),
        words: command.words.clone(),
    };
    let progress = Progress::start("reading the index");
    let found = match Doer::find(command.socket.as_ref(), &command.places)? {
        Doer::Host(socket) => there(&socket, command, wanted),
        Doer::Us(home) => here(&home, command, &wanted),
    };
    drop(progress);
    let found = found?;
    match command.output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "index": found.index, "version": found.version, "expires": date(found.expires),
            "plugins": found.plugins,
        })),
        Format::Text if found.plugins.is_empty() => output::note("note: the index has nothing like that"),
        Format::Text => {
            let mut table = Table::new(&["PLUGIN", "VERSION", "TYPE", "DESCRIPTION"]);
            for FoundPlugin { plugin, description, versions } in &found.plugins {
                let newest = versions.iter().rev().find(|one| one.yanked.is_none());
                let version = newest.map_or("yanked".to_owned(), |one| one.version.to_string());
                let plugin_type = versions.last().map_or("", |one| one.plugin_type.as_str());
                table.row([plugin.as_str(), &version, plugin_type, description]);
            }
            table.lines().for_each(|line| output::line(&line));
        }
    }
    Ok(Exit::Ok)
}

fn there(socket: &Path, command: &SearchCommand, wanted: Search) -> Result<Found, Failure> {
    if command.policy.is_some() || !command.trust.is_empty() {
        return Err(control::host_decides(
            "reads it by its own policy and certificates",
            "--policy and --trust",
        ));
    }
    control::search(socket, wanted)
}

fn here(home: &Home, command: &SearchCommand, wanted: &Search) -> Result<Found, Failure> {
    let policy = policy::read(command.policy.as_deref(), &home.state)?;
    let pems = command.trust.iter().map(|path| run::certificates(path)).collect::<Result<Vec<_>, _>>()?;
    let indexes =
        Indexes::new(&pems, &home.state, &home.audit, policy).map_err(|error| Failure::of(&error))?;
    let index = indexes.take_blocking(&wanted.at, &wanted.allow).map_err(|error| Failure::of(&error))?;
    Ok(Found::in_index(&index, &wanted.words))
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

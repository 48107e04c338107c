//! Looking at what is installed. Nothing of it runs.

use serde_json::{Value, json};
use stockade_host::install::{Examination, Installed, Inventory};
use stockade_package::{Explain, Package, Problem, Severity};

use super::request;
use crate::args::{BackupCommand, ChangesCommand, ListCommand, Places};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, date, safe};
use crate::policy;
use crate::table::Table;

fn inventory(places: &Places) -> Result<Option<Inventory>, Failure> {
    Inventory::look(&Home::find(places)?.state).map_err(|error| Failure::of(&error))
}

/// What the list says; nothing where there is none.
fn of<T>(
    places: &Places,
    look: impl FnOnce(&Inventory) -> Result<Vec<T>, stockade_host::install::InstallError>,
) -> Result<Vec<T>, Failure> {
    match inventory(places)? {
        Some(inventory) => look(&inventory).map_err(|error| Failure::of(&error)),
        None => Ok(Vec::new()),
    }
}

fn print(key: &str, value: Value, format: Format, table: impl FnOnce() -> Table) -> Exit {
    match format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, key: value })),
        Format::Text => table().lines().for_each(|line| output::line(&line)),
    }
    Exit::Ok
}

/// `stockade list`.
pub(crate) fn list(command: &ListCommand) -> Result<Exit, Failure> {
    let all = of(&command.places, Inventory::all)?;
    if all.is_empty() && command.output.format == Format::Text {
        output::note("note: nothing is installed: stockade install PLUGIN");
        return Ok(Exit::Ok);
    }
    Ok(print("plugins", json!(all), command.output.format, || {
        let mut table = Table::new(&["PLUGIN", "VERSION", "TYPE", "RUNS", "SIGNED", "SINCE", "PACKAGE"]);
        for Installed { generation, enabled, next, .. } in &all {
            let runs = match (enabled, next) {
                (_, Some(next)) => format!("{} waits", next.version),
                (true, None) => "enabled".to_owned(),
                (false, None) => "no".to_owned(),
            };
            table.row([
                generation.plugin.as_str(),
                &generation.version.to_string(),
                &generation.plugin_type,
                &runs,
                if generation.signed_by.is_empty() { "no" } else { "yes" },
                &date(generation.made),
                generation.package.get(..19).unwrap_or(&generation.package),
            ]);
        }
        table
    }))
}

/// `stockade changes`.
pub(crate) fn changes(command: &ChangesCommand) -> Result<Exit, Failure> {
    let plugin = command.plugin.as_deref();
    let all = of(&command.places, |inventory| inventory.history(plugin, command.lines))?;
    Ok(print("changes", json!(all), command.output.format, || {
        let mut table =
            Table::new(&["WHEN", "CHANGE", "PLUGIN", "FROM", "TO", "STATE", "PHASE", "BY", "WHY"]);
        for happened in &all {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            table.row([
                date(happened.began).as_str(),
                &happened.change,
                &text(&happened.plugin),
                &text(&happened.before),
                &text(&happened.after),
                &happened.state,
                &happened.phase,
                &happened.user.clone().unwrap_or_else(|| format!("uid {}", happened.uid)),
                &happened.message.clone().unwrap_or_default(),
            ]);
        }
        table
    }))
}

/// `stockade ledger`.
pub(crate) fn ledger(command: &ChangesCommand) -> Result<Exit, Failure> {
    let plugin = command.plugin.as_deref();
    let all = of(&command.places, |inventory| inventory.loads(plugin, command.lines))?;
    Ok(print("loads", json!(all), command.output.format, || {
        let mut table = Table::new(&["WHEN", "PLUGIN", "VERSION", "STATE", "WHY"]);
        for load in &all {
            let why = match (&load.code, &load.reason) {
                (Some(code), Some(reason)) => format!("{code}: {reason}"),
                _ => String::new(),
            };
            table.row([date(load.at).as_str(), &load.plugin, &load.version, &load.state, &why]);
        }
        table
    }))
}

/// `stockade capabilities`.
pub(crate) fn capabilities(command: &ListCommand) -> Result<Exit, Failure> {
    let all = of(&command.places, Inventory::offers)?;
    Ok(print("offers", json!(all), command.output.format, || {
        let mut table = Table::new(&["KIND", "NAME", "PLUGIN", "VERSION", "RUNS", "WHAT"]);
        for offer in &all {
            let runs = if offer.enabled { "enabled" } else { "no" };
            table.row([offer.kind.as_str(), &offer.name, &offer.plugin, &offer.version, runs, &offer.what]);
        }
        table
    }))
}

/// `stockade backup`.
pub(crate) fn back_up(command: &BackupCommand) -> Result<Exit, Failure> {
    let inventory = inventory(&command.places)?.ok_or_else(|| {
        let message = "nothing was ever installed here".to_owned();
        Failure::usage("not-installed", "--state", message, "name the state folder of the host")
    })?;
    inventory.back_up(&command.to).map_err(|error| Failure::of(&error))?;
    match command.output.format {
        Format::Json => output::document(&json!({ "schema": SCHEMA, "backup": command.to })),
        Format::Text => output::line(&safe(&command.to.display().to_string())),
    }
    Ok(Exit::Ok)
}

/// What is wrong with installed plugins, and with the list of them.
pub(crate) fn findings(
    home: &Home,
    policy_file: Option<&std::path::Path>,
) -> Result<(Vec<Problem>, Vec<Examination>), Failure> {
    let list = match Inventory::trusted(&home.state, &home.audit) {
        Ok(Some(list)) => list,
        Ok(None) => return Ok((Vec::new(), Vec::new())),
        Err(error) => return Ok((vec![error.problem()], Vec::new())),
    };
    let broken = list.check().map_err(|error| Failure::of(&error))?;
    let broken = broken.into_iter().map(|what| {
        Problem::new(
            "inventory-broken",
            "installed.sqlite",
            what,
            "put a backup in its place (stockade backup)",
        )
    });
    let policy = policy::read(policy_file, &home.state)?;
    let book = stockade_host::Book::open(&home.state, &home.audit).map_err(|error| Failure::of(&error))?;
    let judge = |package: &Package, setup: &str| match request(package.clone(), setup) {
        Err(problem) => vec![(Severity::Error, problem)],
        Ok(request) => {
            let weighed = request.weigh(&policy, &book.standing(), book.now());
            let refused = weighed.refusal().map(|error| (Severity::Error, error.problem()));
            let lacking = weighed.lacking.iter().filter(|lacking| lacking.approvable).map(|lacking| {
                let message = format!("it asks for {}, and was not granted it", lacking.scope);
                let step =
                    "approve it (stockade approvals approve), grant it, or leave it: the plugin runs without";
                (Severity::Note, Problem::new("missing-grant", &lacking.scope, message, step))
            });
            refused.into_iter().chain(lacking).collect()
        }
    };
    let examined = list.examine(&home.state, &judge).map_err(|error| Failure::of(&error))?;
    Ok((broken.collect(), examined))
}

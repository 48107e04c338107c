//! `stockade pack`, `unpack` and `inspect`: a plugin in one file, and what there is to know of it before it runs.

mod claims;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stockade_host::{Host, HostError};
use stockade_ipc::World;
use stockade_package::archive::{self, Archive, PACKAGE_SUFFIX, Packed, Parts};
use stockade_package::{Dependency, Finding, Identity, Links, Package, Tool, sha256};

use crate::args::{self, InspectCommand, Looking, PackCommand, UnpackCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{self, Format, SCHEMA, safe};
use crate::policy;
use crate::progress::Progress;
use crate::run::{self, Built};
use crate::table::Table;

/// A host that looks at plugins, by this policy or that of its state folder.
pub(crate) fn host(looking: &Looking, policy: Option<&Path>) -> Result<Host, Failure> {
    let home = Home::find(&looking.places)?;
    run::nobody_runs(&home)?;
    let built = Built {
        policy: policy::read(policy, &home.state)?,
        programs: looking.programs.as_deref(),
        models: None,
        trust: &[],
        namespaces: looking.namespaces,
    };
    built.host(&home, Ok)
}

/// What a component wants and offers, by the confined compiler.
fn look(looking: &Looking, package: &Package) -> Result<(World, Vec<Tool>), Failure> {
    let host = host(looking, None)?;
    let progress = Progress::start("looking at the component in confinement");
    let seen = host.world_blocking(package);
    drop(progress);
    host.stop_blocking();
    seen.map_err(|error: HostError| Failure::of(&error))
}

/// What a package's file is called, where nobody says otherwise.
pub(crate) fn usual_name(identity: &Identity) -> PathBuf {
    format!("{}-{}{PACKAGE_SUFFIX}", identity.name.replace('/', "-"), identity.version).into()
}

pub(crate) fn pack(command: &PackCommand) -> Result<Exit, Failure> {
    let PackCommand { folder, out, looking, output } = command;
    let mut parts = Parts::of_folder(folder).map_err(|error| Failure::of(&error).of_file(folder))?;
    // Of the bytes that are packed, whatever happens to the folder meanwhile.
    let package = Package::of_parts(&parts).map_err(|error| Failure::of(&error))?;
    let (world, _) = look(looking, &package)?;
    parts.interfaces = (&world).into();
    let Packed { bytes, digest } = archive::pack(&parts);
    let path = out.clone().unwrap_or_else(|| usual_name(&package.identity));
    archive::write(&path, &bytes).map_err(|error| Failure::of(&error))?;
    let Identity { name, version, .. } = &package.identity;
    match output.format {
        Format::Json => output::document(&json!({
            "schema": SCHEMA, "plugin": name, "version": version.to_string(), "package": path, "digest": digest,
            "bytes": bytes.len(), "signed_by": package.signed_by, "findings": findings(&package),
        })),
        Format::Text => {
            output::line(&safe(&path.display().to_string()));
            output::line(&digest);
            if package.signed_by.is_empty() {
                output::note("nobody has signed it: stockade sign FILE --key KEY");
            }
            findings(&package).iter().for_each(claims::warn);
        }
    }
    Ok(Exit::Ok)
}

pub(crate) fn unpack(command: &UnpackCommand) -> Result<Exit, Failure> {
    let UnpackCommand { file, list: _, to, output } = command;
    let archive = Archive::open(file).map_err(|error| Failure::of(&error).of_file(file))?;
    // What is no plugin is not put anywhere.
    let package = Package::of_parts(&archive.parts).map_err(|error| Failure::of(&error))?;
    if let Some(folder) = to {
        archive.parts.write_into(folder).map_err(|error| Failure::of(&error))?;
    }
    match output.format {
        Format::Json => {
            let members: Vec<_> = archive
                .members
                .iter()
                .map(|member| json!({ "path": member.path, "bytes": member.bytes, "what": member.what }))
                .collect();
            output::document(&json!({
                "schema": SCHEMA, "plugin": package.identity.name, "version": package.identity.version.to_string(),
                "digest": archive.digest, "files": members, "folder": to,
            }));
        }
        Format::Text => match to {
            Some(folder) => output::line(&safe(&folder.display().to_string())),
            None => listed(&archive),
        },
    }
    Ok(Exit::Ok)
}

fn listed(archive: &Archive) {
    let mut table = Table::new(&["BYTES>", "FILE", "WHAT"]);
    for member in &archive.members {
        table.row([member.bytes.to_string().as_str(), &member.path, member.what]);
    }
    table.lines().for_each(|line| output::line(&line));
    output::line(&archive.digest);
}

pub(crate) fn inspect(command: &InspectCommand) -> Result<Exit, Failure> {
    let InspectCommand { plugin, plugin_type, looking, output } = command;
    let plugin_type = args::plugin_type(plugin_type.as_deref())?;
    let package = Package::open(plugin, plugin_type).map_err(|error| Failure::of(&error).of_file(plugin))?;
    let (world, tools) = look(looking, &package)?;
    let interfaces = archive::Interfaces::from(&world);
    match output.format {
        Format::Json => output::document(&document(plugin, &package, &interfaces, &tools)),
        Format::Text => {
            shown(&package, &interfaces, &tools);
            claims::show(&package);
            findings(&package).iter().for_each(claims::warn);
        }
    }
    Ok(Exit::Ok)
}

/// What is wrong with it, and does not keep it from running.
fn findings(package: &Package) -> Vec<Finding> {
    package.of_something_else().into_iter().collect()
}

fn document(path: &Path, package: &Package, interfaces: &archive::Interfaces, tools: &[Tool]) -> Value {
    let Identity { name, version, plugin_type } = &package.identity;
    let permissions: Vec<_> = package
        .permissions
        .iter()
        .map(|permission| json!({ "scope": permission.request.scope.to_string(), "reason": permission.reason }))
        .collect();
    let settings: Vec<_> = package
        .settings
        .iter()
        .map(|setting| json!({ "key": setting.key, "schema": setting.schema, "default": setting.default }))
        .collect();
    let hooks: Vec<_> =
        package.hooks.iter().map(|hook| json!({ "event": hook.event, "tool": hook.tool })).collect();
    let dependencies: Vec<_> = package
        .dependencies
        .iter()
        .map(|Dependency { plugin, versions, optional, reason, .. }| {
            json!({ "plugin": plugin, "version": versions.to_string(), "optional": optional, "reason": reason })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "path": path,
        "plugin": name,
        "version": version.to_string(),
        "type": plugin_type.as_str(),
        "contract": package.contract,
        "digest": package.digest,
        "component": { "sha256": sha256(&package.component), "bytes": package.component.len() },
        "signed_by": package.signed_by,
        "permissions": permissions,
        "dependencies": dependencies,
        "links": links(package),
        "configuration": settings,
        "hooks": hooks,
        "tools": tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "imports": interfaces.imports,
        "exports": interfaces.exports,
        "provenance": claims::document(package),
        "findings": findings(package),
    })
}

/// Where there is more, by its author's word.
fn links(package: &Package) -> BTreeMap<&'static str, &str> {
    let Links { homepage, source, documentation, issues } = &package.links;
    let links =
        [("homepage", homepage), ("source", source), ("documentation", documentation), ("issues", issues)];
    links.into_iter().filter_map(|(name, link)| Some((name, link.as_deref()?))).collect()
}

fn shown(package: &Package, interfaces: &archive::Interfaces, tools: &[Tool]) {
    let Identity { name, version, plugin_type } = &package.identity;
    output::line(&format!(
        "{} {version}, {}, contract {}",
        safe(name),
        plugin_type.as_str(),
        safe(&package.contract)
    ));
    if let Some(digest) = &package.digest {
        output::line(&format!("package    {digest}"));
    }
    let component = &package.component;
    output::line(&format!("component  sha256:{}, {} bytes", sha256(component), component.len()));
    match package.signed_by.is_empty() {
        true => output::line("signed by  nobody"),
        false => package.signed_by.iter().for_each(|key| output::line(&format!("signed by  {key}"))),
    }
    let mut permissions = Table::new(&["ASKS FOR", "WHY, IN ITS AUTHOR'S WORDS"]);
    for permission in &package.permissions {
        permissions.row([permission.request.scope.to_string().as_str(), &permission.reason]);
    }
    if !package.permissions.is_empty() {
        output::line("");
        permissions.lines().for_each(|line| output::line(&line));
    }
    let dependencies =
        package.dependencies.iter().map(|Dependency { plugin, versions, optional, .. }| {
            format!("{plugin} {versions}{}", if *optional { ", optional" } else { "" })
        });
    let lists = [
        ("WORKS WITH", dependencies.collect()),
        ("LINKS", links(package).into_iter().map(|(name, link)| format!("{name}: {link}")).collect()),
        ("TOOLS", tools.iter().map(|tool| tool.name.clone()).collect()),
        ("IMPORTS", interfaces.imports.clone()),
        ("EXPORTS", interfaces.exports.clone()),
    ];
    for (heading, names) in lists.into_iter().filter(|(_, names): &(_, Vec<String>)| !names.is_empty()) {
        output::line(&format!("\n{heading}"));
        names.iter().for_each(|name| output::line(&format!("  {}", safe(name))));
    }
}

//! What would allow it, and whether anybody should.

use stockade_audit::{Decision, Entry, Layer};

use super::never::{ALWAYS, CEILINGS, should_not};
use super::rules::{Origin, is_final, origin};
use super::value_of;
use super::words::TYPES;

/// The capabilities that grants are for.
const CAPABILITIES: [&str; 12] = [
    "fs.read",
    "fs.write",
    "fs.create",
    "fs.delete",
    "http",
    "secret",
    "kv",
    "config",
    "tool",
    "model",
    "log",
    "clock",
];

/// What is to be done where a plugin was not loaded, by what it was not loaded for.
const NOT_LOADED: [(&str, &str); 4] = [
    (
        "grant",
        "What is above the ceiling of its type takes another type, or a policy of the organisation's that raises the \
         ceiling (docs/policy.md).",
    ),
    ("import", "Nothing here: its author has to build it without that import."),
    ("config", "A value of the kind that the plugin's manifest says, from whoever configures it."),
    ("tool", "Nothing here: its author has to put its tools right."),
];

pub(super) fn of(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    if !matches!(record.decision, Decision::Denied | Decision::Killed) {
        return Vec::new();
    }
    let rule = record.rule.as_ref().map_or("", |rule| rule.id.as_ref());
    let mut sentences = Vec::new();
    match record.layer {
        Layer::Seccomp | Layer::Sigsys | Layer::Landlock => {
            sentences.push("Nothing does, and nothing should: no plugin has an honest use for it.".into());
        }
        _ if is_final(rule) => {
            sentences.push("Nothing does, and nothing should: no plugin has an honest use for it.".into());
        }
        Layer::Policy => {
            let known = NOT_LOADED.iter().find(|(operation, _)| *operation == record.operation);
            sentences.extend(known.map(|(_, words)| (*words).to_owned()));
        }
        Layer::Limits => {
            sentences.push(
                "More room would: the limit is the profile's or the operator's, and not a grant.".into(),
            );
        }
        Layer::Host | Layer::Worker if CAPABILITIES.contains(&record.operation.as_ref()) => {
            return of_a_capability(entry, rule);
        }
        _ => {}
    }
    sentences.extend(advice(entry));
    sentences
}

/// What is said where a grant is the question.
fn of_a_capability(entry: &Entry, rule: &str) -> Vec<String> {
    let record = &entry.record;
    let mut sentences = Vec::new();
    let danger = should_not(&record.operation, &record.resource, &record.reason);
    if let Some(why) = danger {
        sentences.push(format!("Nobody should allow it: {why}."));
    }
    if let Some(rule) = &record.rule
        && let Origin::Policy { rule, line, .. } = origin(&rule.source)
    {
        sentences.push(format!(
            "No grant and no approval: the organisation's policy forbids it. Whoever keeps the policy can change the rule \
             {} in line {}, and should know of this attempt first.",
            value_of(rule),
            value_of(line)
        ));
        return sentences;
    }
    match rule {
        "http.address" => sentences.push(
            "The request is granted; the address is not. Only whoever keeps the policy, or the operator, opens addresses \
             (`addresses` of a rule, --allow-address)."
                .into(),
        ),
        "http.certificate" | "fs.beneath" | "tool.depth" | "tool.cycle" => {
            sentences.push("It is granted, and fails for another reason than want of a grant.".into());
            sentences.extend(advice(entry));
        }
        _ if ALWAYS.contains(&record.operation.as_ref()) => {
            sentences.push("Every plugin has it; this refusal is about something else.".into());
        }
        _ => sentences.extend(grant(entry, danger.is_some())),
    }
    sentences
}

/// Who could grant it.
fn grant(entry: &Entry, is_dangerous: bool) -> Vec<String> {
    let record = &entry.record;
    let Some(plugin) = &record.plugin else { return advice(entry) };
    let of_type = CEILINGS.iter().find(|ceiling| ceiling.plugin_type == plugin.kind);
    let called = TYPES.iter().find(|(name, ..)| *name == plugin.kind).map(|(_, called, _)| *called);
    let (Some(ceiling), Some(called)) = (of_type, called) else { return advice(entry) };
    let operation = record.operation.as_ref();
    let scope = value_of(&scope(entry));
    if ceiling.on_request.contains(&operation) {
        return vec![format!(
            "Its manifest has to ask for {scope}; {called} gets that without anybody's yes, unless the policy forbids it."
        )];
    }
    if !ceiling.approved.contains(&operation) {
        return vec![format!(
            "No approval: {operation} is above the ceiling of {called}. A plugin that needs it has another type, or the \
             organisation's policy raises the ceiling."
        )];
    }
    if is_dangerous {
        return vec![format!("An approval of {scope} could be given, and is not to be.")];
    }
    vec![
        format!(
            "An approval of {scope}, or of more: `stockade approvals approve {} --scope {} --why TEXT`.",
            value_of(&plugin.name),
            if scope.starts_with('"') { scope.clone() } else { format!("'{scope}'") }
        ),
        "Whether somebody should: if the plugin's purpose needs exactly this. Ask its author before you approve what it \
         never asked for."
            .into(),
    ]
}

/// The smallest grant that would cover it.
fn scope(entry: &Entry) -> String {
    let record = &entry.record;
    let (operation, resource) = (record.operation.as_ref(), record.resource.as_ref());
    match operation {
        "http" => {
            let target = resource.split('?').next().unwrap_or_default();
            format!("http:{}", target.replacen("https://", "", 1).trim_end_matches('/'))
        }
        operation if operation.starts_with("fs.") => {
            let parent =
                resource.rfind('/').map(|slash| &resource[..slash]).filter(|parent| !parent.is_empty());
            format!("{operation}:{}", parent.unwrap_or(resource))
        }
        operation if resource.is_empty() => operation.to_owned(),
        operation => format!("{operation}:{resource}"),
    }
}

/// What the record itself says is to be done, where it does.
fn advice(entry: &Entry) -> Vec<String> {
    match entry.record.next_step.as_ref() {
        "" => Vec::new(),
        step => vec![format!("The record's next step: {}.", value_of(step))],
    }
}

//! What would allow it, and whether anybody should.

use stockade_audit::{Decision, Entry, Layer};

use super::never::{ALWAYS, CEILINGS, should_not};
use super::rules::{Origin, is_final, origin};
use super::value_of;

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

pub(super) fn of(entry: &Entry) -> Vec<String> {
    let record = &entry.record;
    if !matches!(record.decision, Decision::Denied | Decision::Killed) {
        return Vec::new();
    }
    let rule = record.rule.as_ref().map_or("", |rule| rule.id.as_ref());
    if matches!(record.layer, Layer::Seccomp | Layer::Sigsys | Layer::Landlock) || is_final(rule) {
        return vec![
            "Nothing does, and nothing should: no plugin has a use for it that is an honest one.".into(),
            advice(entry),
        ];
    }
    if record.operation == "control" || record.operation == "approval" || record.layer == Layer::Package {
        return vec![advice(entry)];
    }
    if record.layer == Layer::Limits {
        return vec![
            "More room would: the limit is the profile's or the operator's, and not a grant.".into(),
            advice(entry),
        ];
    }
    if let Some(rule) = &record.rule
        && let Origin::Policy { rule, line, .. } = origin(&rule.source)
    {
        return vec![format!(
            "No grant and no approval: the organisation's policy forbids it. Whoever keeps the policy can change the rule \
             {} in line {}, and should know of this attempt first.",
            value_of(rule),
            value_of(line)
        )];
    }
    if !CAPABILITIES.contains(&record.operation.as_ref()) {
        return vec![advice(entry)];
    }
    grant(entry, rule)
}

/// What is said where a grant would do.
fn grant(entry: &Entry, rule: &str) -> Vec<String> {
    let record = &entry.record;
    let mut sentences = Vec::new();
    let danger = should_not(&record.operation, &record.resource, &record.reason);
    if let Some(why) = danger {
        sentences.push(format!("Nobody should allow it: {why}."));
    }
    if ALWAYS.contains(&record.operation.as_ref()) {
        sentences.push("Every plugin has it; this refusal is about something else.".into());
        return sentences;
    }
    match rule {
        "http.address" => {
            sentences.push(
                "The request is granted; the address is not. Only whoever keeps the policy, or the operator, opens \
                 addresses (`addresses` of a rule, --allow-address)."
                    .into(),
            );
            return sentences;
        }
        "http.certificate" | "fs.beneath" | "tool.depth" | "tool.cycle" => {
            sentences.push("It is granted, and fails for another reason than want of a grant.".into());
            sentences.push(advice(entry));
            return sentences;
        }
        _ => {}
    }
    let kind = record.plugin.as_ref().map_or("", |plugin| plugin.kind.as_str());
    let Some(ceiling) = CEILINGS.iter().find(|ceiling| ceiling.plugin_type == kind) else {
        sentences.push(advice(entry));
        return sentences;
    };
    if ceiling.on_request.contains(&record.operation.as_ref()) {
        sentences.push(format!(
            "The manifest has to ask for {}; a {kind} gets that without anybody's yes, unless the policy forbids it.",
            value_of(&scope(entry))
        ));
    } else if ceiling.approved.contains(&record.operation.as_ref()) {
        sentences.push(format!(
            "An approval of {}, or more of it: `stockade approvals approve {} --scope '{}' --why TEXT`.",
            value_of(&scope(entry)),
            record.plugin.as_ref().map_or_else(|| "PLUGIN".to_owned(), |plugin| value_of(&plugin.name)),
            value_of(&scope(entry)).trim_matches('"')
        ));
        if danger.is_none() {
            sentences.push(
                "Whether somebody should: if the plugin's purpose needs exactly this. Ask its author before you \
                 approve what it never asked for."
                    .into(),
            );
        }
    } else {
        sentences.push(format!(
            "Nobody's approval: {} is above the ceiling of a {kind}. A plugin that needs it has another type, or the \
             organisation's policy raises the ceiling.",
            record.operation
        ));
    }
    sentences
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

/// What the record itself says is to be done.
fn advice(entry: &Entry) -> String {
    match entry.record.next_step.as_ref() {
        "" => "The record names no next step.".to_owned(),
        step => format!("The record's next step: {}.", value_of(step)),
    }
}

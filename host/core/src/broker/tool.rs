//! `tool`: calls of other plugins' tools. The one that is called runs under its own grants.

use std::sync::Arc;

use stockade_ipc::bounds::PAYLOAD;
use stockade_ipc::{Delegated, ToolInfo};
use stockade_policy::{Ask, Budget, Unit, stands};

use super::Broker;
use crate::outcome::{Outcome, Status};
use crate::registry::{Caller, DEEPEST};
use crate::trail::{Trail, Unrecorded};

const ONE: Budget = Budget { tool_calls: 1, model_calls: 0, tokens: 0, cost: 0, http_bytes: 0 };
/// What a tool's description takes besides its texts, on the wire.
const AROUND: usize = 64;

impl Broker {
    /// The granted tools whose plugins are there.
    pub(super) fn tools(&self) -> Delegated {
        let mut room = PAYLOAD;
        let tools = self.grants.tools().filter_map(|name| {
            let (plugin, tool) = name.split_once('#')?;
            let plugin = self.delegation.registry.find(plugin)?;
            let tool = plugin.tools().iter().find(|known| known.name == tool)?;
            let info = ToolInfo {
                name: name.to_owned(),
                description: tool.description.clone(),
                arguments: tool.input.to_string(),
            };
            let size = info.name.len() + info.description.len() + info.arguments.len() + AROUND;
            room = room.checked_sub(size)?;
            Some(info)
        });
        Delegated::Tools(tools.collect())
    }

    pub(super) async fn call_tool(
        &self,
        name: &str,
        arguments: &str,
        spent: &mut Budget,
        caller: Caller,
        trail: &Arc<Trail>,
    ) -> Result<Delegated, Unrecorded> {
        let others = &self.delegation;
        let ask = Ask::Tool { name };
        let Some(rule) = self.allowed(&ask, trail)? else { return Ok(Delegated::Denied) };
        let unavailable = |why: &str| Ok(Delegated::Unavailable(why.to_owned()));
        let Some((plugin, tool)) = name.split_once('#') else { return unavailable("there is no such tool") };
        let Some(plugin) = others.registry.find(plugin) else {
            return unavailable("its plugin is not there");
        };
        if caller.depth > DEEPEST && stands("tool.depth") {
            trail.not_called(name, "tool.depth", "the chain of calls is as long as it may be")?;
            return unavailable("the chain of calls is too long");
        }
        let Some(_waits) = others.registry.wait(others.number, plugin.number()) else {
            trail.not_called(name, "tool.cycle", "its plugin waits for this one")?;
            return unavailable("its plugin waits for this one");
        };
        let Some(page) = &others.page else { return unavailable("the ledger does not work") };
        if page.per_call.less(*spent).lacks(ONE).is_some() && stands("tool.per-call") {
            return self.exhausted(&ask, Unit::ToolCalls, "call", trail);
        }
        match page.take(ONE) {
            None => return unavailable("the ledger does not work"),
            Some(Err(unit)) => return self.exhausted(&ask, unit, "day", trail),
            Some(Ok(_)) => *spent = spent.and(ONE),
        }
        trail.allowed(&ask, &rule)?;
        Ok(told(plugin.call_from(tool, arguments, caller).await))
    }

    /// Records that a budget has too little, and says so.
    pub(super) fn exhausted(
        &self,
        ask: &Ask<'_>,
        unit: Unit,
        of: &'static str,
        trail: &Trail,
    ) -> Result<Delegated, Unrecorded> {
        trail.exhausted((ask.operation(), &ask.resource()), unit, of)?;
        Ok(Delegated::Exhausted(format!("{} of the {of}", unit.as_str())))
    }
}

/// What the caller learns of an outcome: a tool's own words, and of everything else what it is called.
fn told(outcome: Outcome) -> Delegated {
    let Outcome { status, value, reason, .. } = outcome;
    match (status, value, reason) {
        (Status::Ok, Some(value), _) => Delegated::Returned(value),
        (_, _, Some(reason)) => match (status, reason.code) {
            (_, "invalid-arguments" | "bad-arguments" | "arguments-mismatch") => {
                Delegated::Invalid(reason.message)
            }
            (Status::ToolError | Status::Denied, _) => Delegated::Failed(reason.message),
            (_, code) => Delegated::Unavailable(code.to_owned()),
        },
        _ => Delegated::Unavailable("no-reason".to_owned()),
    }
}

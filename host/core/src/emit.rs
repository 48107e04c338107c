//! Events: told to every plugin whose manifest has a hook for them.

use std::time::Duration;

use serde::Serialize;

use crate::host::Host;
use crate::outcome::Outcome;
use crate::plugin::{CallOptions, Plugin};

/// How an event is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmitOptions {
    /// One plugin after the other, by name, up to the first that does not answer well. All at once if not.
    pub fail_fast: bool,
    /// Of each call; the plugin's default if not said.
    pub deadline: Option<Duration>,
    /// As [`CallOptions::caller`].
    pub caller: u64,
}

/// What one plugin made of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its name.
    pub plugin: String,
    /// The tool that was called.
    pub tool: String,
    /// What came of it; none where it was not told, because another had failed.
    pub outcome: Option<Outcome>,
}

impl Host {
    /// Tells an event to the plugins that have a hook for it, and waits for all of them. `payload` is one JSON text,
    /// the arguments of the tools that the hooks name.
    pub async fn emit(&self, event: &str, payload: &str, options: EmitOptions) -> Vec<Told> {
        let hooked = self.hooked(event);
        let call = CallOptions { deadline: options.deadline, caller: options.caller };
        if !options.fail_fast {
            let payload: std::sync::Arc<str> = payload.into();
            let calls: Vec<_> = hooked
                .into_iter()
                .map(|(plugin, tool)| {
                    let payload = std::sync::Arc::clone(&payload);
                    tokio::spawn(async move {
                        let outcome = plugin.call(&tool, &payload, call).await;
                        Told { plugin: plugin.name().to_owned(), tool, outcome: Some(outcome) }
                    })
                })
                .collect();
            let mut told = Vec::with_capacity(calls.len());
            for call in calls {
                told.extend(call.await);
            }
            return told;
        }
        let mut failed = false;
        let mut told = Vec::with_capacity(hooked.len());
        for (plugin, tool) in hooked {
            let outcome = match failed {
                true => None,
                false => Some(plugin.call(&tool, payload, call).await),
            };
            failed |= outcome.as_ref().is_some_and(|outcome| !outcome.is_ok());
            told.push(Told { plugin: plugin.name().to_owned(), tool, outcome });
        }
        told
    }

    /// Who has a hook for an event, by name.
    fn hooked(&self, event: &str) -> Vec<(Plugin, String)> {
        let plugins = self.plugins().into_iter();
        plugins
            .flat_map(|plugin| {
                let hooks = plugin.hooks().iter().filter(|hook| hook.event == event);
                let tools: Vec<String> = hooks.map(|hook| hook.tool.clone()).collect();
                tools.into_iter().map(move |tool| (plugin.clone(), tool))
            })
            .collect()
    }
}

//! The plugins that a running host is to have, and those that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use stockade_control::{Reloaded, Waiting};
use stockade_host::install::Loaded;
use stockade_host::{Host, Lacking, Plugin, PluginStatus};
use stockade_package::{Explain, Problem};

use super::config::Wanted;
use crate::progress::Steps;

/// What became of a plugin that was wanted.
#[derive(Debug)]
struct Entry {
    print: u64,
    version: String,
    plugin_type: String,
    loaded: Result<Plugin, Problem>,
}

/// Why a plugin could not be loaded that may be loaded a moment later: the machine's doing, not the plugin's.
const PASSING: [&str; 4] = ["launch-failed", "not-attested", "memory", "threads"];

/// Why a plugin is not loaded that the policy does not believe in.
const DISTRUSTED: [&str; 3] = ["revoked", "unknown-publisher", "publisher-not-signed"];

impl Entry {
    /// Whether it was loaded, and may run still.
    fn is_well(&self) -> bool {
        self.loaded.as_ref().is_ok_and(|plugin| !plugin.is_withdrawn())
    }

    fn may_pass(&self) -> bool {
        self.loaded.as_ref().is_err_and(|problem| PASSING.contains(&problem.code))
    }
}

/// By name.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// New versions that ask for more than those that run.
    waiting: Mutex<Vec<Waiting>>,
}

/// Of everything that makes a plugin what it is: what its files say, and what the policy and approvals make of it.
fn print(host: &Host, wanted: &Wanted) -> u64 {
    let weighed = host.weigh(&wanted.request);
    let mut hasher = DefaultHasher::new();
    wanted.print.hash(&mut hasher);
    format!("{:?} {:?}", weighed.resolution, weighed.standard).hash(&mut hasher);
    hasher.finish()
}

/// What a new version asks for that the running one did not, or had.
fn asks_for_more(running: &Plugin, new: &Plugin) -> Option<Waiting> {
    let missed = |scope: &str| running.lacking().iter().any(|lacking| lacking.scope == scope);
    let asks: Vec<Lacking> = new
        .lacking()
        .iter()
        .filter(|lacking| lacking.approvable && !missed(&lacking.scope))
        .cloned()
        .collect();
    (running.component() != new.component() && !asks.is_empty()).then(|| Waiting {
        plugin: new.name().to_owned(),
        running: running.version().to_owned(),
        version: new.version().to_owned(),
        component: new.component().to_owned(),
        denied: None,
        asks,
    })
}

fn tell(waiting: &Waiting) {
    let Waiting { plugin, running, version, asks, .. } = waiting;
    let scopes: Vec<&str> = asks.iter().map(|lacking| lacking.scope.as_str()).collect();
    tracing::warn!(
        target: "stockade::host", plugin = %plugin,
        "version {version} waits, and {running} runs on: it asks for {} besides. Next: stockade approvals approve, or deny",
        scopes.join(", ")
    );
}

impl Plugins {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New versions that wait for an approval, or were denied one.
    pub(crate) fn waiting(&self, host: &Host) -> Vec<Waiting> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for Waiting { plugin, component, denied, asks, .. } in &mut all {
            *denied = host.denied(plugin, component, asks);
        }
        all
    }

    /// Whether a plugin has ended because an approval has: it is to be loaded without.
    pub(crate) fn has_withdrawn(&self) -> bool {
        self.entries().values().any(|entry| entry.loaded.as_ref().is_ok_and(Plugin::is_withdrawn))
    }

    /// Loads everything for the first time. What cannot be loaded is told, and does not keep the others from running.
    pub(crate) fn start(&self, host: &Host, mut wanted: BTreeMap<String, Wanted>) {
        wanted.values_mut().for_each(|wanted| wanted.print = print(host, wanted));
        let entries = load(host, wanted.into_values().collect());
        for (name, entry) in &entries {
            match &entry.loaded {
                Ok(plugin) => plugin.enter(),
                Err(problem) => told(name, problem),
            }
        }
        *self.entries() = entries;
    }

    /// Makes of the plugins that run those that are wanted now: all of it, or nothing where one of the new cannot be
    /// loaded. Plugins of which nothing has changed are not touched.
    pub(crate) fn change(&self, host: &Host, wanted: BTreeMap<String, Wanted>) -> Result<Reloaded, Problem> {
        let mut reloaded = Reloaded::default();
        let mut fresh = Vec::new();
        {
            let entries = self.entries();
            reloaded.removed = entries.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
            for (name, mut wanted) in wanted {
                wanted.print = print(host, &wanted);
                match entries.get(&name) {
                    Some(entry) if entry.print == wanted.print && entry.is_well() => {
                        reloaded.unchanged += 1;
                        continue;
                    }
                    Some(_) => reloaded.changed.push(name),
                    None => reloaded.added.push(name),
                }
                fresh.push(wanted);
            }
        }
        let mut staged = load(host, fresh);
        // One in which nobody believes any more does not run whether or not the reload is refused, and is not to keep the
        // next thing that somebody revokes from being so.
        let idle: BTreeSet<String> = {
            let entries = self.entries();
            entries.iter().filter(|(_, entry)| !entry.is_well()).map(|(name, _)| name.clone()).collect()
        };
        let is_refusal =
            |name: &String, problem: &Problem| idle.contains(name) && DISTRUSTED.contains(&problem.code);
        let mut failed = staged.iter().filter_map(|(name, entry)| Some((name, entry.loaded.as_ref().err()?)));
        if let Some((name, problem)) = failed.find(|(name, problem)| !is_refusal(name, problem)) {
            return Err(Problem {
                code: "reload-refused",
                field: name.clone(),
                message: format!("{name} cannot be loaded ({}): {}", problem.code, problem.message),
                next_step: format!(
                    "{}; nothing was changed, all plugins run on as before",
                    problem.next_step
                ),
            });
        }
        let mut entries = self.entries();
        // One that asks for more waits; the one that runs goes on.
        staged.retain(|name, entry| {
            let running = entries.get(name).filter(|entry| entry.is_well());
            let (Some(Ok(running)), Ok(new)) = (running.map(|entry| &entry.loaded), &entry.loaded) else {
                return true;
            };
            let Some(waiting) = asks_for_more(running, new) else { return true };
            reloaded.changed.retain(|changed| changed != name);
            reloaded.waiting.push(waiting);
            false
        });
        let before = std::mem::replace(
            &mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner),
            reloaded.waiting.clone(),
        );
        reloaded.waiting.iter().filter(|waiting| !before.contains(waiting)).for_each(tell);
        // Let go of at the end, outside of the lock: their workers end with them.
        let mut gone: Vec<Entry> = Vec::new();
        gone.extend(reloaded.removed.iter().filter_map(|name| entries.remove(name)));
        for (name, entry) in staged {
            match &entry.loaded {
                Ok(plugin) => plugin.enter(),
                Err(problem) => told(&name, problem),
            }
            gone.extend(entries.insert(name, entry));
        }
        drop(entries);
        Ok(reloaded)
    }

    /// Has one plugin run as it is wanted now, or not any more; the others are not touched. What cannot be loaded keeps the
    /// one before running.
    pub(crate) fn take_in(
        &self,
        host: &Host,
        name: &str,
        wanted: Option<Wanted>,
        reloaded: &mut Reloaded,
    ) -> Result<(), Problem> {
        let Some(mut wanted) = wanted else {
            let gone = self.entries().remove(name);
            reloaded.removed.extend(gone.as_ref().map(|_| name.to_owned()));
            return Ok(());
        };
        wanted.print = print(host, &wanted);
        for (name, entry) in load(host, vec![wanted]) {
            match &entry.loaded {
                Ok(plugin) => plugin.enter(),
                Err(problem) => return Err(problem.clone()),
            }
            // Let go of outside of the lock: its calls end, and its workers with them.
            let before = self.entries().insert(name.clone(), entry);
            let list = if before.is_some() { &mut reloaded.changed } else { &mut reloaded.added };
            list.push(name);
        }
        Ok(())
    }

    /// Whether any could not be loaded for a reason that may have passed.
    pub(crate) fn may_pass(&self) -> bool {
        self.entries().values().any(Entry::may_pass)
    }

    /// Tries those again, as far as they are still wanted as they were.
    pub(crate) fn try_again(&self, host: &Host, mut wanted: BTreeMap<String, Wanted>) {
        wanted.values_mut().for_each(|wanted| wanted.print = print(host, wanted));
        wanted.retain(|name, wanted| {
            self.entries().get(name).is_some_and(|entry| entry.may_pass() && entry.print == wanted.print)
        });
        for (name, entry) in load(host, wanted.into_values().collect()) {
            if let Ok(plugin) = &entry.loaded {
                tracing::info!(target: "stockade::host", plugin = %name, "it is loaded now");
                plugin.enter();
            }
            self.entries().insert(name, entry);
        }
    }

    /// Those that could not be loaded.
    pub(crate) fn failed(&self) -> Vec<PluginStatus> {
        let entries = self.entries();
        let failed =
            entries.iter().filter_map(|(name, entry)| Some((name, entry, entry.loaded.as_ref().err()?)));
        failed
            .map(|(name, entry, problem)| {
                let reason = format!("{}: {}", problem.code, problem.message);
                PluginStatus::failed(name, &entry.version, &entry.plugin_type, reason)
            })
            .collect()
    }

    /// Lets go of all of them.
    pub(crate) fn clear(&self) {
        let entries = std::mem::take(&mut *self.entries());
        drop(entries);
    }

    /// How many run, and how many do not.
    pub(crate) fn count(&self) -> (usize, usize) {
        let entries = self.entries();
        let loaded = entries.values().filter(|entry| entry.loaded.is_ok()).count();
        (loaded, entries.len() - loaded)
    }
}

pub(super) fn told(name: &str, problem: &Problem) {
    tracing::error!(
        target: "stockade::host", plugin = %name,
        "it cannot be loaded: {}. Next: {}; then reload the configuration", problem.message, problem.next_step
    );
}

/// Loads plugins, as many at a time as there are processors and one more, which waits for a disk.
fn load(host: &Host, wanted: Vec<Wanted>) -> BTreeMap<String, Entry> {
    let total = wanted.len();
    let threads = available_parallelism().map_or(1, NonZeroUsize::get) + 1;
    let queue = Mutex::new(wanted.into_iter());
    let (done, entries) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let (steps, notes) = (Steps::start(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(total) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(Wanted { name, version, plugin_type, print, package, request }) = next else {
                        return;
                    };
                    steps.next(done.load(Ordering::Relaxed), total, &name);
                    let loaded = host.load_blocking(request.aside()).map_err(|error| error.problem());
                    let note = Loaded::now(&name, &version, package.as_deref(), loaded.as_ref().err());
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
                    let entry = Entry { print, version, plugin_type, loaded };
                    entries.lock().unwrap_or_else(PoisonError::into_inner).insert(name, entry);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    host.note_loads(&notes.into_inner().unwrap_or_else(PoisonError::into_inner));
    entries.into_inner().unwrap_or_else(PoisonError::into_inner)
}

//! Which plugins of a host can be called by others, and which of them wait for which.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stockade_audit::Plugin as AuditPlugin;
use stockade_policy::stands;

use crate::call_id::CallId;
use crate::plugin::{Plugin, WeakPlugin};

/// Calls below each other: a tool that an agent calls, which calls another, and so on. Each has a worker that waits.
pub(crate) const DEEPEST: u32 = 8;

/// Which of a host's loaded plugins it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u64);

/// The plugins of one host.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    last: AtomicU64,
    /// By name. Of two with the same name it is the one that was loaded last: an update takes the place over.
    plugins: Mutex<BTreeMap<String, WeakPlugin>>,
    /// All that were loaded and are there still, found by a name or not.
    loaded: Mutex<Vec<WeakPlugin>>,
    /// Who waits for whom. With several workers a plugin waits for several others, or for one several times.
    waits: Mutex<Vec<(Number, Number)>>,
}

/// One plugin waits for another, until this is dropped.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    registry: &'a Registry,
    who: Number,
    on: Number,
}

impl Registry {
    pub(crate) fn number(&self) -> Number {
        Number(1 + self.last.fetch_add(1, Ordering::Relaxed))
    }

    fn plugins(&self) -> MutexGuard<'_, BTreeMap<String, WeakPlugin>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waits(&self) -> MutexGuard<'_, Vec<(Number, Number)>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was loaded. Whoever looks after plugins has to see it, whether it is found by its name or not.
    pub(crate) fn loaded(&self, plugin: &Plugin) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.len() == loaded.capacity() {
            loaded.retain(|plugin| plugin.upgrade().is_some());
        }
        loaded.push(plugin.downgrade());
    }

    /// Every plugin that was loaded and that somebody holds.
    pub(crate) fn living(&self) -> Vec<Plugin> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.iter().filter_map(WeakPlugin::upgrade).collect()
    }

    /// From here on others can call it, as long as anybody has it.
    pub(crate) fn enter(&self, plugin: &Plugin) {
        let mut plugins = self.plugins();
        plugins.retain(|_, plugin| plugin.upgrade().is_some());
        plugins.insert(plugin.name().to_owned(), plugin.downgrade());
    }

    /// The plugin of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Plugin> {
        self.plugins().get(name)?.upgrade()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Plugin> {
        self.plugins().values().filter_map(WeakPlugin::upgrade).collect()
    }

    /// Has one wait for another; none where that one waits for the first, itself or through others: neither would
    /// ever go on. A free worker of the first's could, but nobody says that it will be free.
    pub(crate) fn wait(&self, who: Number, on: Number) -> Option<Wait<'_>> {
        let mut waits = self.waits();
        let mut reached = vec![on];
        let mut next = 0;
        while let Some(&number) = reached.get(next) {
            if number == who && stands("tool.cycle") {
                return None;
            }
            for &(waiting, on) in waits.iter() {
                if waiting == number && !reached.contains(&on) {
                    reached.push(on);
                }
            }
            next += 1;
        }
        waits.push((who, on));
        Some(Wait { registry: self, who, on })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = self.registry.waits();
        if let Some(at) = waits.iter().position(|wait| *wait == (self.who, self.on)) {
            waits.swap_remove(at);
        }
    }
}

/// Who calls a plugin that is not called by the embedding program.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Its name and version.
    pub(crate) plugin: Arc<AuditPlugin>,
    pub(crate) launch: Arc<str>,
    pub(crate) call: u64,
    /// The call that all of it began with.
    pub(crate) id: CallId,
    /// How many calls stand above it; 1 for the first that an agent makes.
    pub(crate) depth: u32,
    /// When the caller's own call has to be over.
    pub(crate) until: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d15_nobody_waits_in_a_circle() {
        let registry = Registry::default();
        let [a, b, c] = [(); 3].map(|()| registry.number());
        assert!(registry.wait(a, a).is_none());
        let first = registry.wait(a, b).unwrap();
        let second = registry.wait(b, c).unwrap();
        assert!(registry.wait(c, a).is_none() && registry.wait(c, b).is_none());
        // Several may wait for one.
        drop(second);
        let _third = registry.wait(c, b).unwrap();
        // As often as it waits, not as often as it has ceased to.
        let again = registry.wait(a, b).unwrap();
        drop(first);
        assert!(registry.wait(b, a).is_none());
        drop(again);
        assert!(registry.wait(b, a).is_some());
    }
}

use stockade_ipc::{Refused, ToHost};
use stockade_policy::{Rule, stands};
use wasmtime::ResourceLimiter;

use crate::state::State;

/// Elements of all tables together: a million, 8 MiB. Python's largest has about 20,000.
const ELEMENTS: usize = 1 << 20;
/// Core instances, memories and tables of one component instance. Each costs the host-side part of an
/// instance, which no linear memory limit counts.
const INSTANCES: usize = 256;
/// A memory reserves 4 GiB of the 64 GiB of addresses that a worker has.
const MEMORIES: usize = 12;
const TABLES: usize = 256;

/// What one instance has used up.
pub(crate) struct Limits {
    memory_max: u64,
    memory: u64,
    elements: usize,
    told: bool,
}

impl Limits {
    pub(crate) fn new(memory_max: u64) -> Self {
        Self { memory_max, memory: 0, elements: 0, told: false }
    }

    pub(crate) fn renew(&mut self) {
        *self = Self::new(self.memory_max);
    }
}

impl State {
    /// One record for each instance: a guest that keeps on trying must not flood the log with it.
    pub(crate) fn over(&mut self, resource: String, rule: &str) {
        if !std::mem::replace(&mut self.limits.told, true) {
            let reason = "the plugin would use more than its limit".to_owned();
            let rule = Rule::built_in(rule);
            self.tell(ToHost::from(Refused { operation: "memory".to_owned(), resource, rule, reason }));
        }
    }
}

/// Whether the module's own maximum is passed.
fn beyond(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if beyond(desired, maximum) {
            return Ok(false);
        }
        let after = self.limits.memory.saturating_add(desired.saturating_sub(current) as u64);
        if after > self.limits.memory_max && stands("guest.memory") {
            let max = self.limits.memory_max;
            self.over(format!("{after} bytes"), &format!("memory:{max}"));
            return Ok(false);
        }
        self.limits.memory = after;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if beyond(desired, maximum) {
            return Ok(false);
        }
        let after = self.limits.elements.saturating_add(desired.saturating_sub(current));
        if after > ELEMENTS && stands("guest.tables") {
            self.over(format!("{after} table elements"), "memory:table-elements");
            return Ok(false);
        }
        self.limits.elements = after;
        Ok(true)
    }

    fn instances(&self) -> usize {
        if stands("guest.instances") { INSTANCES } else { usize::MAX }
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        if stands("guest.memories") { MEMORIES } else { usize::MAX }
    }
}

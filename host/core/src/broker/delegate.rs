//! What agents have others do: `tool` and `model`. Counted before it is done, in books that outlive the host.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockade_ipc::{Delegate, Delegated};
use stockade_policy::Budget;

use super::Broker;
use crate::egress::Egress;
use crate::ledger::Page;
use crate::model::Ready;
use crate::registry::{Caller, Number, Registry};
use crate::trail::{Trail, Unrecorded};

/// The ways of one plugin to others.
#[derive(Debug, Default)]
pub(crate) struct Delegation {
    pub(crate) registry: Arc<Registry>,
    pub(crate) number: Number,
    pub(crate) egress: Arc<Egress>,
    /// By the operator's names: those that are granted.
    pub(crate) models: BTreeMap<String, Ready>,
    /// Of the books, where anything is granted that is counted.
    pub(crate) page: Option<Page>,
}

impl Broker {
    /// Has others do something. `spent` is what the running call has used so far. Dropped, it is over: what was
    /// going on is ended, and what was taken for it stays taken.
    pub(crate) async fn delegate(
        &self,
        what: &Delegate,
        spent: &mut Budget,
        caller: Caller,
        trail: &Arc<Trail>,
    ) -> Result<Delegated, Unrecorded> {
        match what {
            Delegate::Tools => Ok(self.tools()),
            Delegate::ToolCall { name, arguments } => {
                self.call_tool(name, arguments, spent, caller, trail).await
            }
            Delegate::ModelAsk(request) => self.ask_model(request, spent, trail).await,
            Delegate::Left => Ok(Delegated::Left(self.delegation.left(*spent).unwrap_or_default())),
        }
    }
}

impl Delegation {
    /// What can be used now.
    pub(super) fn left(&self, spent: Budget) -> Option<Budget> {
        let page = self.page.as_ref()?;
        Some(page.per_call.less(spent).within(page.left()?))
    }
}

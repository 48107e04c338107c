//! What a host is told by those who answer for it: the policy, and approvals.

use std::sync::{Arc, MutexGuard, PoisonError};

use stockade_audit::{Decision, Layer, Record};
use stockade_policy::{Distrust, Grants, Person, Policy, Source, stands};

use crate::approvals::{ApprovalRequest, ApprovalState, ApprovalStatus, Book};
use crate::error::HostError;
use crate::host::{Host, Inner};
use crate::load::LoadRequest;
use crate::plugin::{Plugin, Withdrawal};
use crate::weigh::{Lacking, Weighed};

impl Inner {
    /// The policy that is in force.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    /// The organisation's policy that is in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.0.policy()
    }

    /// Puts another policy in force, for what is loaded from here on. Plugins that it does not believe in are ended before
    /// this returns, their calls too: those that were revoked, or whose publisher's keys have not signed them.
    pub fn set_policy(&self, policy: Policy) -> Result<(), HostError> {
        let before = self.0.policy();
        if *before == policy {
            return Ok(());
        }
        let record = Record::new(Layer::Policy, "policy", Decision::Noted)
            .operation("policy")
            .reason("another policy is in force from here on")
            .detail("version", policy.version)
            .detail("before", before.version)
            .detail("rules", policy.rules.len() as i64);
        self.0.log.append_durable(&record).map_err(HostError::Audit)?;
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        self.end_withdrawn(&self.0.registry.living());
        Ok(())
    }

    /// What a plugin would be granted, by the documents that are in force now. Loads nothing.
    pub fn weigh(&self, request: &LoadRequest) -> Weighed {
        let book = self.0.book();
        request.weigh(&self.0.policy(), &book.standing(), book.now())
    }

    /// All approvals, with what has become of them.
    pub fn approvals(&self) -> Vec<ApprovalStatus> {
        self.0.book().list(&self.0.policy().approvals)
    }

    /// Says yes to exactly these grants, in the name of a user of the machine. It is in the audit log, and on the disk,
    /// when this returns; plugins get it when they are loaded next.
    pub fn approve(&self, request: &ApprovalRequest, by: &Person) -> Result<ApprovalStatus, HostError> {
        let policy = self.0.policy();
        self.look_at_approvals()?;
        self.0.book().approve(&self.0.log, request, by, &policy.approvals).map_err(HostError::Approvals)
    }

    /// Says no.
    pub fn deny(&self, request: &ApprovalRequest, by: &Person) -> Result<ApprovalStatus, HostError> {
        let policy = self.0.policy();
        self.look_at_approvals()?;
        self.0.book().deny(&self.0.log, request, by, &policy.approvals).map_err(HostError::Approvals)
    }

    /// Takes an approval back. Plugins that run by it are ended before this returns, their calls too, and stay so until
    /// they are loaded anew, without it.
    pub fn revoke(&self, number: u64, by: &Person, why: &str) -> Result<ApprovalStatus, HostError> {
        let policy = self.0.policy();
        self.look_at_approvals()?;
        let mut book = self.0.book();
        let status =
            book.revoke(&self.0.log, number, by, why, &policy.approvals).map_err(HostError::Approvals)?;
        drop(book);
        self.end_withdrawn(&self.0.registry.living());
        Ok(status)
    }

    /// Takes in what other hosts of the state folder have written into the book, ends the approvals whose time is over,
    /// and the plugins that run by an approval which has ended. Whether there was anything.
    pub fn look_at_approvals(&self) -> Result<bool, HostError> {
        let mut book = self.0.book();
        let changed = book.refresh(&self.0.state, &self.0.audit).map_err(HostError::Approvals)?;
        let over = book.expire(&self.0.log).map_err(HostError::Approvals)?;
        drop(book);
        let now = self.now();
        let living = self.0.registry.living();
        let is_over =
            |plugin: &Plugin| plugin.until().is_some_and(|until| now >= until) && !plugin.is_withdrawn();
        let any = changed || !over.is_empty() || living.iter().any(is_over);
        if any {
            self.end_withdrawn(&living);
        }
        Ok(any)
    }

    /// The number of the latest no to all of this, for a component: what asks for it waits for nobody.
    pub fn denied(&self, plugin: &str, component: &str, asks: &[Lacking]) -> Option<u64> {
        let is_it = |status: &&ApprovalStatus| {
            status.state == ApprovalState::Denied
                && status.plugin == plugin
                && status.component.as_deref() == Some(component)
                && asks.iter().all(|lacking| status.scopes.contains(&lacking.scope))
        };
        self.approvals().iter().rev().find(is_it).map(|status| status.number)
    }

    /// What time it is for approvals, in seconds since 1970: not before anything that is known to have happened.
    pub(crate) fn now(&self) -> u64 {
        self.0.book().now()
    }

    /// When the first of the approvals ends that these grants come from.
    pub(crate) fn approved_until(&self, grants: &Grants) -> Option<u64> {
        let book = self.0.book();
        let ends = grants.iter().filter_map(|grant| match &grant.rule.source {
            Source::Approval { number, .. } => book.ends(*number),
            _ => None,
        });
        ends.min()
    }

    /// Ends those of the plugins that run by an approval which nobody gives any more, or in which the policy does not
    /// believe any more.
    pub(crate) fn end_withdrawn(&self, plugins: &[Plugin]) {
        let (policy, now) = (self.0.policy(), self.now());
        let by = |plugin: &Plugin| {
            plugin.grants().iter().find_map(|grant| match &grant.rule.source {
                Source::Approval { number, .. } if !self.0.book().stands(*number) => Some(*number),
                _ => None,
            })
        };
        for plugin in plugins.iter().filter(|plugin| !plugin.is_withdrawn()) {
            if let Some(why) = policy.judge(&plugin.signed(), now).distrust {
                self.end_distrusted(plugin, why);
                continue;
            }
            let Some(number) = by(plugin) else { continue };
            if stands("approvals.withdraw") && plugin.withdraw(Withdrawal::Approval) {
                tracing::warn!(
                    target: "stockade::host", plugin = %plugin.name(),
                    "it is ended: approval {number}, which it ran by, has ended; loaded anew it runs without"
                );
            }
        }
    }

    fn end_distrusted(&self, plugin: &Plugin, why: Distrust) {
        let said = why.to_string();
        if !stands("trust.withdraw") || !plugin.withdraw(Withdrawal::Distrust(why.clone())) {
            return;
        }
        tracing::warn!(target: "stockade::host", plugin = %plugin.name(), "it is ended: it {said}");
        // It has ended whether or not that can be written down.
        if let Err(error) = plugin.record_distrust(&why) {
            tracing::error!(target: "stockade::host", plugin = %plugin.name(), %error, "its end is not recorded");
        }
    }
}

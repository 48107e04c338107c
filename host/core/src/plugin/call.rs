//! The way of one call: is it one, may it, whose turn is it, which worker, what came of it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockade_ipc::Call;
use stockade_package::{Explain, Problem};
use stockade_policy::stands;
use tracing::Instrument;

use super::{CallOptions, Inner};
use crate::error::{HostError, deadline};
use crate::fate::Cause;
use crate::outcome::{Outcome, Status};
use crate::registry::Caller;
use crate::session::{Called, Order, Session};
use crate::supervise::{Admission, Isolation, NoTurn, Refusal, Verdict};

/// A call that the breaker lets through. Let go of without a word, it says nothing about the plugin.
struct Admitted<'a> {
    plugin: &'a Inner,
    admission: Option<Admission>,
}

impl Admitted<'_> {
    fn came_to(mut self, verdict: Verdict) {
        self.give_back(verdict);
    }

    fn give_back(&mut self, verdict: Verdict) {
        let Some(admission) = self.admission.take() else { return };
        let now = Instant::now();
        let turned = match &mut *self.plugin.breaker() {
            Some(breaker) => breaker.give_back(admission, verdict, now).then(|| breaker.why(now)),
            None => None,
        };
        if let Some(why) = turned {
            self.plugin.breaker_turned(why);
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.give_back(Verdict::Nothing);
    }
}

/// A call that a worker is about to get.
struct Begun {
    at: Instant,
    /// Another plugin gives it less time than anybody else would: its end at the deadline says nothing about the
    /// plugin, or one plugin could stop another's calls.
    brief: bool,
}

/// A call that does not take place, and why.
type NoCall = Box<Outcome>;

fn no_call(code: &'static str, field: &str, message: String, next_step: impl Into<String>) -> NoCall {
    Box::new(Outcome::without(Status::Failed, Problem::new(code, field, message, next_step)))
}

fn wrong(error: HostError) -> NoCall {
    Box::new(Outcome::without(Status::Failed, error.problem()))
}

impl Inner {
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &str,
        options: CallOptions,
        caller: Option<Caller>,
    ) -> Outcome {
        let order = match self.order(tool, arguments, options, caller) {
            Ok(order) => order,
            Err(outcome) => return self.counted(tool, *outcome),
        };
        let (id, began, span) = (order.id, order.began, self.span(&order));
        let outcome = self.conduct(order).instrument(span).await;
        self.counted(tool, Outcome { elapsed: began.elapsed(), call: Some(id), ..outcome })
    }

    async fn conduct(&self, order: Order) -> Outcome {
        let until = order.until;
        if let Err(outcome) = self.passes() {
            return *outcome;
        }
        let turn = self.line.enter(|| order.who(), until).await;
        let (_turn, admitted) = match self.its_turn(turn, &order) {
            Ok(both) => both,
            Err(outcome) => return *outcome,
        };
        // Taken out for the time of the call: a call that is dropped halfway takes the worker with it.
        let session = match self.free_worker() {
            Some(session) => Ok(session),
            None => match self.pause(until) {
                Ok(pause) => {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    match self.launched(until).await {
                        Some(launched) => launched,
                        None => return *self.too_late(&order),
                    }
                }
                Err(outcome) => return *outcome,
            },
        };
        match session {
            Ok(mut session) => {
                let Some(begun) = self.begin(&order) else {
                    self.put_back(session);
                    return *self.too_late(&order);
                };
                let called = session.call_async(order).await;
                self.settle(session, called, admitted, begun)
            }
            Err(error) => self.not_launched(&error, admitted),
        }
    }

    pub(super) fn call_blocking(&self, tool: &str, arguments: &str, options: CallOptions) -> Outcome {
        let order = match self.order(tool, arguments, options, None) {
            Ok(order) => order,
            Err(outcome) => return self.counted(tool, *outcome),
        };
        let (id, began, span) = (order.id, order.began, self.span(&order));
        let outcome = span.in_scope(|| self.conduct_blocking(order));
        self.counted(tool, Outcome { elapsed: began.elapsed(), call: Some(id), ..outcome })
    }

    /// Has a new worker make an instance of the component, and nothing else.
    pub(super) fn instantiate(&self) -> Result<Outcome, HostError> {
        let mut session = self.launch()?;
        let (allowance, began) = (deadline(None, &self.profile.limits)?, Instant::now());
        let call = Call { call: 0, tool: String::new(), arguments: String::new() };
        let id = self.host.0.call_id();
        let until = began + allowance;
        let order = Order { call, id, began, until, allowance, caller: None, on_behalf: 0 };
        Ok(match session.call(order) {
            Ok(returned) => Outcome::returned(returned),
            Err((cause, end)) => Outcome::killed(cause, end),
        })
    }

    fn conduct_blocking(&self, order: Order) -> Outcome {
        let until = order.until;
        if let Err(outcome) = self.passes() {
            return *outcome;
        }
        let turn = self.line.enter_blocking(|| order.who(), until);
        let (_turn, admitted) = match self.its_turn(turn, &order) {
            Ok(both) => both,
            Err(outcome) => return *outcome,
        };
        let session = match self.free_worker() {
            Some(session) => Ok(session),
            None => match self.pause(until) {
                Ok(pause) => {
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                    self.launch_for_call()
                }
                Err(outcome) => return *outcome,
            },
        };
        match session {
            Ok(mut session) => {
                let Some(begun) = self.begin(&order) else {
                    self.put_back(session);
                    return *self.too_late(&order);
                };
                let called = session.call(order);
                self.settle(session, called, admitted, begun)
            }
            Err(error) => self.not_launched(&error, admitted),
        }
    }

    /// What is told while the call runs is told within this.
    fn span(&self, order: &Order) -> tracing::Span {
        let (plugin, tool) = (self.identity.name.as_str(), order.call.tool.as_str());
        tracing::info_span!(target: "stockade::call", "call", call = %order.id, plugin, tool)
    }

    /// Checks tool, arguments and deadline before anything moves.
    fn order(
        &self,
        tool: &str,
        arguments: &str,
        options: CallOptions,
        caller: Option<Caller>,
    ) -> Result<Order, NoCall> {
        let began = Instant::now();
        let asked = options.deadline.or(self.supervision.deadline);
        let mut allowance = deadline(asked, &self.profile.limits).map_err(wrong)?;
        let Some(known) = self.tools.iter().find(|known| known.name == tool) else {
            let names: Vec<_> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
            let message = format!("the plugin has no tool {tool:?}");
            return Err(no_call(
                "unknown-tool",
                "tool",
                message,
                format!("use one of: {}", names.join(", ")),
            ));
        };
        let checked = if stands("call.arguments") { known.check_arguments(arguments) } else { Ok(()) };
        checked.map_err(|error| Box::new(Outcome::without(Status::Failed, error.problem())))?;
        let call = Call { call: 0, tool: tool.to_owned(), arguments: arguments.to_owned() };
        if let Some(caller) = &caller {
            allowance = allowance.min(caller.until.saturating_duration_since(began));
        }
        let id = caller.as_ref().map_or_else(|| self.host.0.call_id(), |caller| caller.id);
        let until = began + allowance;
        Ok(Order { call, id, began, until, allowance, caller, on_behalf: options.caller })
    }

    /// Whether calls are to be tried at all now.
    fn passes(&self) -> Result<(), NoCall> {
        let over = self.until.is_some_and(|until| self.host.now() >= until);
        let looked = if over { self.host.look_at_approvals().map(drop) } else { Ok(()) };
        looked.and_then(|()| self.refuse_withdrawn()).map_err(wrong)?;
        if self.held.load(Ordering::Acquire) && stands("plugin.held") {
            let message = "an operator has stopped the plugin".to_owned();
            return Err(no_call("plugin-stopped", "plugin", message, "start it again (stockade start)"));
        }
        let now = Instant::now();
        match self.breaker().as_ref().and_then(|breaker| breaker.why(now)) {
            Some(refusal) if refusal.next != Some(Duration::ZERO) && stands("breaker.open") => {
                Err(self.is_open(refusal))
            }
            _ => Ok(()),
        }
    }

    fn is_open(&self, Refusal { why, next }: Refusal) -> NoCall {
        let when = match next {
            Some(next) => format!("the next call is tried in {}", rounded(next)),
            None => "one call is on its way to try".to_owned(),
        };
        let message = format!("calls of this plugin are stopped for a while, because {why}; {when}");
        no_call(
            "breaker-open",
            "plugin",
            message,
            "see why the calls failed (stockade logs, stockade audit tail); restarting the plugin lets calls pass at once",
        )
    }

    /// What has to be so when it is a call's turn.
    fn its_turn<T>(&self, turn: Result<T, NoTurn>, order: &Order) -> Result<(T, Admitted<'_>), NoCall> {
        let turn = turn.map_err(|no_turn| match no_turn {
            NoTurn::Full(waiting) => no_call(
                "queue-full",
                "plugin",
                format!("{waiting} calls wait for the plugin already, as many as may"),
                "call less often, or give the plugin more workers (supervision.workers)",
            ),
            NoTurn::TooLate => no_call(
                "timed-out",
                "deadline",
                format!("the call's {:?} were over before it was its turn", order.allowance),
                "give the call more time, or the plugin more workers (supervision.workers)",
            ),
        })?;
        self.meter.waited.add(order.began.elapsed());
        if self.held.load(Ordering::Acquire) {
            self.passes()?;
        }
        let admission = match &mut *self.breaker() {
            Some(breaker) => breaker.admit(Instant::now()).map(Some),
            None => Ok(None),
        };
        let admission = admission.map_err(|refusal| self.is_open(refusal))?;
        Ok((turn, Admitted { plugin: self, admission }))
    }

    /// The worker that was used last, if it is still there.
    fn free_worker(&self) -> Option<Session> {
        loop {
            let (_, session) = self.free().pop()?;
            let (cause, end) = session.watch().fate.now();
            match end {
                None if session.watch().is_retired() => {}
                None => return Some(session),
                Some(_) => self.worker_is_gone(cause.as_ref()),
            }
        }
    }

    /// How long to wait before the next worker may start; an outcome where that is past the deadline.
    fn pause(&self, until: Instant) -> Result<Duration, NoCall> {
        let now = Instant::now();
        let restarts = self.restarts();
        let pause = restarts.pause(now);
        let brake = &self.host.0.brake;
        let shared = if restarts.owed() { brake.take(now) } else { Duration::ZERO };
        let longer = pause.max(shared);
        if longer < until.saturating_duration_since(now) || !stands("restart.pause") {
            return Ok(if stands("restart.pause") { longer } else { Duration::ZERO });
        }
        if restarts.owed() {
            brake.give_back();
        }
        let message = match restarts.in_a_row() {
            _ if shared > pause => {
                format!("workers of many plugins die; this plugin's next starts in {}", rounded(shared))
            }
            0 | 1 => format!("workers of this plugin die too often; the next starts in {}", rounded(pause)),
            deaths => format!("{deaths} workers died in a row; the next starts in {}", rounded(pause)),
        };
        Err(no_call(
            "backing-off",
            "plugin",
            message,
            "see the audit log for what ended them; wait, or give the call more time",
        ))
    }

    fn not_launched(&self, error: &HostError, admitted: Admitted<'_>) -> Outcome {
        self.restarts().died(Instant::now());
        self.look();
        admitted.came_to(Verdict::Failed);
        Outcome::without(Status::Failed, error.problem())
    }

    /// Starts a worker in a thread that may wait for a disk; none where the call's time is over before. The worker is
    /// there for the next call then.
    async fn launched(&self, until: Instant) -> Option<Result<Session, HostError>> {
        let me = self.me.upgrade().expect("it is being called");
        let (give, launched) = tokio::sync::oneshot::channel();
        tokio::task::spawn_blocking(move || match give.send(me.0.launch()) {
            Ok(()) => {}
            Err(Ok(session)) => me.0.put_back(session),
            Err(Err(_)) => me.0.restarts().died(Instant::now()),
        });
        let launched = tokio::time::timeout_at(until.into(), launched).await.ok()?;
        Some(launched.unwrap_or(Err(HostError::Stopped)))
    }

    /// A worker without a call goes back to its place, unless it is not wanted any more.
    fn put_back(&self, session: Session) {
        let mut free = self.free();
        let room = free.len() < self.supervision.workers as usize;
        if room && !session.watch().is_retired() && !self.held.load(Ordering::Acquire) {
            if session.is_large() && !self.large.swap(true, Ordering::AcqRel) {
                self.host.0.keeper.look_at(self.broker.number(), self.me.clone());
            }
            free.push((Instant::now(), session));
        } else {
            drop(free);
        }
    }

    /// A worker whose call is over waits for the next one, unless it was for that call alone.
    fn let_go(&self, session: Session) {
        if self.supervision.isolation == Isolation::Plugin || !stands("plugin.isolation") {
            return self.put_back(session);
        }
        session.watch().condemn(Cause::Served);
        drop(session);
        self.look();
    }

    /// The call's time is over, and no worker has had it.
    fn too_late(&self, order: &Order) -> NoCall {
        no_call(
            "timed-out",
            "deadline",
            format!("the call's {:?} were over before a worker had it", order.allowance),
            "give the call more time",
        )
    }

    /// A worker is about to get the call, unless its time is over.
    fn begin(&self, order: &Order) -> Option<Begun> {
        let usual = self.supervision.deadline;
        let usual = usual.unwrap_or(Duration::from_millis(self.profile.limits.deadline_ms));
        let brief = order.caller.is_some() && order.allowance < usual;
        let at = Instant::now();
        (at < order.until).then_some(Begun { at, brief })
    }

    /// Turns what a call came to into its outcome; a worker that lives on goes back to its place.
    fn settle(&self, mut session: Session, called: Called, admitted: Admitted<'_>, begun: Begun) -> Outcome {
        let took = begun.at.elapsed();
        let denials = session.watch().trail.left();
        let (received, sent) = session.take_moved();
        self.meter.moved(received, sent);
        let outcome = match called {
            Ok(returned) => {
                self.restarts().answered();
                self.let_go(session);
                Outcome::returned(returned)
            }
            Err((cause, end)) => {
                self.restarts().died(Instant::now());
                drop(session);
                self.look();
                Outcome::killed(cause, end)
            }
        };
        let code = outcome.reason.as_ref().map_or("", |reason| reason.code);
        admitted.came_to(match (outcome.status, code) {
            (Status::Killed, "stopped" | "audit-log" | "host-resources") => Verdict::Nothing,
            (Status::Killed, "deadline") if begun.brief => Verdict::Nothing,
            (Status::Killed | Status::Trapped | Status::Failed, _) => Verdict::Failed,
            (Status::Ok | Status::ToolError | Status::Denied, _) => Verdict::Answered { took },
        });
        Outcome { denials, ..outcome }
    }

    fn counted(&self, tool: &str, outcome: Outcome) -> Outcome {
        self.meter.called(tool, &outcome);
        outcome
    }
}

/// A pause as a person says it.
pub(super) fn rounded(time: Duration) -> String {
    format!("{time:.1?}")
}

//! One attack: what it tries, and what must come of it in each layer.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::system::{Stop, Tried};

/// What must come of an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// It works.
    Done,
    /// The filter stops it, at this call.
    Call(&'static str),
    /// The filter stops it, at one of these calls.
    Calls(&'static [&'static str]),
    /// It is refused with one of these error numbers.
    Refused(&'static [i32]),
    /// It ends the attacker with this signal.
    Signal(i32),
    /// The attacker ends by itself.
    Ended,
    /// The attacker goes on until its time is over.
    Deadline,
    /// One of these.
    OneOf(&'static [Expect]),
    /// Shown, not judged.
    Any,
}

impl Expect {
    pub(crate) fn json(&self) -> Value {
        match self {
            Expect::Done => json!("done"),
            Expect::Call(name) => json!({ "call": name }),
            Expect::Calls(names) => json!({ "call": names }),
            Expect::Refused(errors) => {
                json!({ "refused": errors.iter().map(|&error| errno_name(error)).collect::<Vec<_>>() })
            }
            Expect::Signal(signal) => json!(format!("signal:{}", signal_name(*signal))),
            Expect::Ended => json!("ended"),
            Expect::Deadline => json!("deadline"),
            Expect::OneOf(several) => several.iter().map(Expect::json).collect(),
            Expect::Any => json!("any"),
        }
    }
}

/// `EPERM` for 1.
pub(crate) fn errno_name(error: i32) -> String {
    format!("{:?}", Errno::from_raw(error))
}

/// `SIGKILL` for 9.
pub(crate) fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("SIG{signal}"), |signal| signal.as_str().to_owned())
}

/// One attack of the catalogue.
pub(crate) struct Attack {
    /// The case of the attack list, a dot, and a name.
    pub(crate) id: &'static str,
    tries: &'static str,
    run: fn(&Context) -> Tried,
    /// Errors that the kernel only gives to who was allowed: the attack has got through.
    reached: &'static [i32],
    control: Expect,
    landlock: Expect,
    seccomp: Expect,
    all: Expect,
    /// How many variants there are, and what must come of each where it is not `all`.
    variants: u32,
    each: Option<fn(u32) -> Value>,
    uses_victim: bool,
    only_all: bool,
    allowance: Option<u32>,
    /// The filter that it runs under.
    pub(crate) filter: &'static str,
    why: &'static str,
}

impl Attack {
    /// An attack that the filter stops at `call`, and that Landlock knows nothing of.
    pub(super) const fn new(
        id: &'static str,
        tries: &'static str,
        call: &'static str,
        run: fn(&Context) -> Tried,
    ) -> Attack {
        Attack {
            id,
            tries,
            run,
            reached: &[],
            control: Expect::Done,
            landlock: Expect::Done,
            seccomp: Expect::Call(call),
            all: Expect::Call(call),
            variants: 1,
            each: None,
            uses_victim: false,
            only_all: false,
            allowance: None,
            filter: "node",
            why: "",
        }
    }

    /// An attack that no filter stops, because it makes no call or an allowed one.
    pub(super) const fn unfiltered(
        id: &'static str,
        tries: &'static str,
        all: Expect,
        run: fn(&Context) -> Tried,
    ) -> Attack {
        let mut attack = Attack::new(id, tries, "", run);
        attack.seccomp = Expect::Done;
        attack.all = all;
        attack
    }

    /// Landlock alone refuses it.
    pub(super) const fn landlock(mut self, errors: &'static [i32]) -> Attack {
        self.landlock = Expect::Refused(errors);
        self
    }

    /// What comes of it under Landlock alone is shown, not judged.
    pub(super) const fn landlock_any(mut self) -> Attack {
        self.landlock = Expect::Any;
        self
    }

    /// It is refused with no layer at all: by how the thing itself was made.
    pub(super) const fn always(mut self, errors: &'static [i32]) -> Attack {
        self.control = Expect::Refused(errors);
        self.landlock = Expect::Refused(errors);
        self
    }

    /// What comes of it with no layer at all, and under Landlock.
    pub(super) const fn unconfined(mut self, expect: Expect) -> Attack {
        self.control = expect;
        self.landlock = expect;
        self
    }

    /// What comes of it under the filter alone.
    pub(super) const fn seccomp(mut self, expect: Expect) -> Attack {
        self.seccomp = expect;
        self
    }

    /// Errors that mean: it has passed every check of who may.
    pub(super) const fn reached(mut self, errors: &'static [i32]) -> Attack {
        self.reached = errors;
        self
    }

    /// It aims at the victim, who may not survive it.
    pub(super) const fn victim(mut self) -> Attack {
        self.uses_victim = true;
        self
    }

    /// It makes sense in a worker only.
    pub(super) const fn only_all(mut self) -> Attack {
        self.only_all = true;
        self
    }

    /// It runs under another filter than that of a node.
    pub(super) const fn filter(mut self, filter: &'static str) -> Attack {
        self.filter = filter;
        self
    }

    /// What comes of it in a worker.
    pub(super) const fn all(mut self, expect: Expect) -> Attack {
        self.all = expect;
        self
    }

    /// It has variants, of which the same must come.
    pub(super) const fn times(mut self, count: u32) -> Attack {
        self.variants = count;
        self
    }

    /// It has variants; of each must come what this says.
    pub(super) const fn each(mut self, count: u32, each: fn(u32) -> Value) -> Attack {
        self.variants = count;
        self.each = Some(each);
        self
    }

    /// What the host's answer may take in milliseconds, where the attack itself takes its time.
    pub(super) const fn allowance(mut self, milliseconds: u32) -> Attack {
        self.allowance = Some(milliseconds);
        self
    }

    /// What a reader of the report should know.
    pub(super) const fn why(mut self, why: &'static str) -> Attack {
        self.why = why;
        self
    }

    /// Runs it in this process.
    pub(crate) fn outcome(&self, context: &Context) -> Value {
        match (self.run)(context) {
            Ok(_) => json!({ "outcome": "done" }),
            Err(Stop::Errno(error)) if self.reached.contains(&error) => {
                json!({ "outcome": "done", "errno": errno_name(error) })
            }
            Err(Stop::Errno(error)) => json!({ "outcome": "refused", "errno": errno_name(error) }),
            Err(Stop::Unavailable(why)) => json!({ "outcome": "unavailable", "why": why }),
        }
    }

    /// Its line of the list.
    pub(crate) fn json(&self) -> Value {
        let mut line = Map::new();
        let mut set = |name: &str, value: Value| line.insert(name.to_owned(), value);
        set("id", json!(self.id));
        set("case", json!(self.id.split('.').next()));
        set("tries", json!(self.tries));
        set("variants", json!(self.variants));
        set("uses_victim", json!(self.uses_victim));
        set("filter", json!(self.filter));
        set("control", self.control.json());
        set("landlock", self.landlock.json());
        set("seccomp", self.seccomp.json());
        set("all", self.all.json());
        if let Some(each) = self.each {
            set("each", (0..self.variants).map(each).collect());
        }
        if self.only_all {
            set("layers", json!(["all"]));
        }
        if let Some(milliseconds) = self.allowance {
            set("allowance_ms", json!(milliseconds));
        }
        if !self.why.is_empty() {
            set("why", json!(self.why));
        }
        Value::Object(line)
    }
}

//! What is said of a record, as data: one sentence for each event, and what it means. `{name}` stands for a field
//! of the record or an entry of its detail.

use stockade_audit::{Decision, Evidence, Layer};

/// What is said of an event.
pub(super) struct Saying {
    /// Of this layer.
    pub(super) layer: Layer,
    /// Of this event; `*` for all others of the layer.
    pub(super) event: &'static str,
    /// Of this operation; none for all others.
    pub(super) operation: Option<&'static str>,
    /// What happened.
    pub(super) what: &'static str,
    /// What that means for whoever judges the plugin; empty where the first sentence says it all.
    pub(super) means: &'static str,
}

const fn say(layer: Layer, event: &'static str, what: &'static str, means: &'static str) -> Saying {
    Saying { layer, event, operation: None, what, means }
}

const fn say_of(
    layer: Layer,
    event: &'static str,
    operation: &'static str,
    what: &'static str,
    means: &'static str,
) -> Saying {
    Saying { layer, event, operation: Some(operation), what, means }
}

const ASKED: &str = "The refusal itself is no sign of malice: a plugin may try whatever it likes, and this is what \
     happens when it was not granted. What it tried, and how often, is.";
const CLAIM: &str = "This is the worker's own account. A worker that was taken over says what it likes, so this proves \
     neither that the plugin tried nor that it did not; nothing rests on it, since the host refuses the same again when \
     it is asked.";

/// The table. The first that fits holds.
pub(super) const SAYINGS: &[Saying] = &[
    say_of(
        Layer::Host,
        "refused",
        "control",
        "A user who may not control the host (uid {uid}) connected to its socket {resource}. The host did not answer.",
        "No plugin is behind this: workers have no sockets. It is a user or a program of this machine.",
    ),
    say(
        Layer::Host,
        "refused",
        "The plugin asked the host for {operation} on {resource}, and the host refused: {reason}. Nothing was done.",
        ASKED,
    ),
    say(
        Layer::Host,
        "allowed",
        "The plugin asked the host for {operation} on {resource}. It was granted, and this was written before it was \
         done.",
        "",
    ),
    say(
        Layer::Host,
        "called",
        "Another plugin, {caller}, called this one's tool {resource}; the caller was in call {caller_call} of its \
         launch {caller_launch}.",
        "This plugin's own grants apply to what it then does, not the caller's.",
    ),
    say(
        Layer::Host,
        "reckoned",
        "The plugin asked the model {resource}. The question came to {tokens} tokens and cost {cost} millionths of the \
         operator's currency.",
        "",
    ),
    say(
        Layer::Host,
        "protocol-fault",
        "The worker sent the host something that no honest worker sends: {reason}. The host ended it.",
        "The worker program never does this by itself: code that the plugin brought was in control of the worker, or \
         there is a bug in Stockade. Treat the plugin as hostile until it is known which.",
    ),
    say(Layer::Host, "*", "The host recorded `{event}` of {operation} on {resource}: {reason}.", ""),
    say(
        Layer::Worker,
        "refused",
        "The worker says that the plugin tried {operation} on {resource} and that it refused it before asking the \
         host: {reason}.",
        CLAIM,
    ),
    say(Layer::Worker, "*", "The worker says `{event}` of {operation} on {resource}: {reason}.", CLAIM),
    say(
        Layer::Seccomp,
        "forbidden-call",
        "The worker made the system call {operation}, which its filter does not allow. The kernel stopped it before it \
         had any effect and showed it to the host, which ended the worker. Its arguments were {args}.",
        "WebAssembly cannot make system calls, and the worker program does not make this one: so native code of the \
         attacker ran in the worker, or there is a bug in Stockade. Treat the plugin as hostile.",
    ),
    say(
        Layer::Seccomp,
        "*",
        "The kernel stopped the worker at the system call {operation} and showed it to the host: {reason}.",
        "The worker program makes no call that its filter does not allow: treat the plugin as hostile.",
    ),
    say(
        Layer::Sigsys,
        "ended",
        "The kernel ended the worker for a system call, and not by Stockade's filter, which shows each call to the host \
         first: the host itself runs under a filter of somebody else, as SystemCallFilter= of a service makes one. Which \
         call it was the kernel says in its own audit records alone.",
        "See what that filter forbids. What the worker program needs is in docs/operating.md; if it forbids nothing of \
         that, native code of the attacker ran in the worker: treat the plugin as hostile.",
    ),
    say(
        Layer::Sigsys,
        "forbidden-call",
        "The kernel ended the worker for the system call {operation}, and says so in an audit record of its own: \
         architecture {arch}, at instruction {instruction}. The filter that says so is not Stockade's, which shows each \
         call to the host first.",
        "See which filter the host itself was started under. If it forbids no more than workers may do, native code of \
         the attacker ran in the worker: treat the plugin as hostile.",
    ),
    say(Layer::Sigsys, "*", "The kernel ended the worker with SIGSYS, for a system call: {reason}.", ""),
    say(
        Layer::Landlock,
        "gap",
        "Of process {pid} the kernel told of {seen} refusals by Landlock (domain {domain}), and that was not all: \
         {reason}.",
        "The missing ones were refused like the others; what they were about nobody will know. A backlog that is too \
         small loses records without anybody's doing, and so does whoever mutes them.",
    ),
    say(
        Layer::Landlock,
        "lost",
        "The kernel threw {count} of its audit records away ({by}), of the whole machine; some may have been about \
         plugins.",
        "A `gap` says where a worker's are missing. Whoever floods the machine's audit hides what they do.",
    ),
    say(
        Layer::Landlock,
        "audit-changed",
        "Somebody changed what the kernel records: {change} {setting}, by process {pid} ({exe}).",
        "The host never does. From here on the kernel may have kept silent about what it refused.",
    ),
    say(
        Layer::Landlock,
        "untied",
        "The kernel told of process {pid}, user {uid}. A worker has or had that number, at another time or as another \
         user: the record is nobody's.",
        "Another program of the machine uses Landlock, too, or somebody set the clock between refusal and reading.",
    ),
    say(
        Layer::Landlock,
        "unreadable",
        "{count} of the kernel's audit records have a form that this version does not know.",
        "They may have been about plugins. A newer kernel needs a newer Stockade.",
    ),
    say(
        Layer::Landlock,
        "*",
        "The kernel's Landlock refused the worker {operation} on {resource}.",
        "Landlock stands behind the seccomp filter, which should have stopped this first: two layers were tried, and \
         the first let it pass. Treat the plugin as hostile, and report it.",
    ),
    say(
        Layer::Limits,
        "deadline",
        "The call was not over after {deadline_ms} ms, which is what it was given. The host killed the worker.",
        "A plugin may be slow or may loop for ever; the time that calls before it took tells them apart.",
    ),
    say(
        Layer::Limits,
        "quota",
        "The plugin tried {operation} on {resource} beyond what it may use: {reason}.",
        "",
    ),
    say(
        Layer::Limits,
        "budget",
        "The plugin tried {operation} on {resource}, and its budget has no room for it: {reason}.",
        "",
    ),
    say(
        Layer::Limits,
        "log-lines-dropped",
        "The plugin wrote more than {per_second} log lines a second. {dropped} lines were dropped.",
        "The dropped lines are the plugin's own words for the operator, not records of this log.",
    ),
    say(
        Layer::Limits,
        "breaker-open",
        "Calls of the plugin are stopped for {pause_ms} ms: {reason}.",
        "The host does this by itself after failures, so that a broken plugin costs others nothing.",
    ),
    say(Layer::Limits, "breaker-closed", "Calls of the plugin pass again: {reason}.", ""),
    say(
        Layer::Limits,
        "compile-ended",
        "The compiler did not finish with the plugin's component: {reason}. The plugin was not loaded.",
        "The compiler runs confined, since it reads hostile bytes. A component that is too large, or made to hurt \
         compilers, ends like this.",
    ),
    say(
        Layer::Limits,
        "ended",
        "The worker ended at a limit: {reason}. It used {cpu_ms} ms of processor time.",
        "A signal here means the kernel at the limit of processor time, its out-of-memory killer, or somebody with the \
         right to kill it. The exit code 71 is the worker's own word for having got no more memory.",
    ),
    say(Layer::Limits, "*", "A limit was reached, `{event}`, by {operation} on {resource}: {reason}.", ""),
    say(
        Layer::Launch,
        "attested",
        "The host started a confined program (process {pid}) and looked at it from outside: the kernel's account and \
         four canaries prove the confinement. Only then was it given anything that the host did not make.",
        "program_sha256 and filter_sha256 can be compared with those of a release.",
    ),
    say(
        Layer::Launch,
        "not-attested",
        "The host started a confined program that was not as it must be, and killed it: {reason}. It was given nothing.",
        "The program starts before it sees anything of a plugin's: look for an installation that is mixed up, or a \
         machine that cannot confine (stockade doctor).",
    ),
    say(Layer::Launch, "ended", "The worker ended: {reason}. It used {cpu_ms} ms of processor time.", ""),
    say(
        Layer::Launch,
        "not-ended",
        "The worker (process {pid}) had to end, and the host could not end it: {reason}.",
        "It is cut off from the host, and still confined. End the process by hand.",
    ),
    say(
        Layer::Launch,
        "kernel-records",
        "How the host has the kernel's own audit records from here on: {mode} ({reason}).",
        "With `read`, a refusal by Landlock leaves a record of layer landlock. Otherwise it leaves none; what the filter \
         forbids is recorded in any case.",
    ),
    say(Layer::Launch, "*", "Of a launch: `{event}`, {reason}.", ""),
    say(
        Layer::Policy,
        "granted",
        "The plugin was loaded with the grants below, each with the document that gives it.",
        "This is all that the plugin may do beyond computing, until it is loaded anew.",
    ),
    say_of(
        Layer::Policy,
        "refused",
        "import",
        "The plugin was not loaded: its component imports {resource}, which nobody provides.",
        "",
    ),
    say_of(
        Layer::Policy,
        "refused",
        "grant",
        "The plugin was not loaded, since {resource} cannot be granted to it: {reason}.",
        "",
    ),
    say(
        Layer::Policy,
        "refused",
        "The plugin was not loaded, because of {operation} {resource}: {reason}.",
        "",
    ),
    say(
        Layer::Policy,
        "approved",
        "{user} (uid {uid}) approved {scopes} for {resource}. Why: {reason}.",
        "The user is the kernel's word, of whoever asked; the reason is theirs.",
    ),
    say(Layer::Policy, "denied", "{user} (uid {uid}) said no to {scopes} for {resource}. Why: {reason}.", ""),
    say(
        Layer::Policy,
        "revoked",
        "{user} (uid {uid}) took approval {approval} back, of {scopes} for {resource}. Why: {reason}.",
        "Plugins that ran by it were ended at once.",
    ),
    say(
        Layer::Policy,
        "expired",
        "The time of approval {approval} was over, of {scopes} for {resource}.",
        "Plugins that ran by it were ended, and loaded anew without it.",
    ),
    say(
        Layer::Policy,
        "policy",
        "Another version of the organisation's policy came into force: {version}, with {rules} rules; before it was \
         {before}.",
        "It holds for what is loaded from here on.",
    ),
    say(Layer::Policy, "*", "Of the policy: `{event}`, {operation} {resource}: {reason}.", ""),
    say(
        Layer::Package,
        "rejected",
        "The component is not one that runs here: {reason}. It was not loaded.",
        "The reason is in the words of the confined program that read the component.",
    ),
    say(
        Layer::Package,
        "installed",
        "{user} (uid {uid}) installed {resource} from the package {package}.",
        "It does not run by that, until somebody enables it.",
    ),
    say(
        Layer::Package,
        "updated",
        "{user} (uid {uid}) had the package {package} take the place of what was installed of {resource}.",
        "",
    ),
    say(
        Layer::Package,
        "rolled-back",
        "{user} (uid {uid}) went back to the package {package} of {resource}, with what that one was granted.",
        "",
    ),
    say(
        Layer::Package,
        "uninstalled",
        "{user} (uid {uid}) uninstalled {resource}.",
        "Its store, its history and its approvals stay.",
    ),
    say(
        Layer::Package,
        "enabled",
        "{user} (uid {uid}) enabled {resource}: hosts run it, from the package {package}.",
        "",
    ),
    say(Layer::Package, "disabled", "{user} (uid {uid}) disabled {resource}: no host runs it.", ""),
    say(
        Layer::Package,
        "waits",
        "{user} (uid {uid}) brought the package {package} of {resource}, which asks for more than what is installed: \
         {asks}. It waits for an approval.",
        "What was installed stays, and runs on.",
    ),
    say(
        Layer::Package,
        "not-changed",
        "User {uid} wanted to {operation} {resource}, and nothing was changed. It failed in the phase {phase}: {reason}.",
        "",
    ),
    say(
        Layer::Package,
        "index-refused",
        "The index of plugins at {resource} was not believed: {reason}.",
        "Nothing was installed by it.",
    ),
    say(Layer::Package, "*", "Of a package: `{event}`, {operation} {resource}: {reason}.", ""),
    say(Layer::Log, "open", "A process began to write this log: {program}, process {pid}, user {uid}.", ""),
    say(Layer::Log, "close", "The writer ended in order. All that it had counted is written.", ""),
    say(
        Layer::Log,
        "recovery",
        "When the log was opened, what stood at its end was not a whole record, as after a crash. It was moved to \
         {resource} as it was found ({bytes} bytes).",
        "Nothing was done whose record was not written in full, so no action is behind what was lost.",
    ),
    say(
        Layer::Log,
        "gap",
        "From {since} on nothing could be written: {cause}. {refused} actions were refused for that.",
        "What was refused left no record of its own; nothing happened in that time that needs one.",
    ),
    say(
        Layer::Log,
        "flood",
        "From {first} to {last} there were {count} more records like the ones before, {operation} at layer {layer}: \
         they were counted instead of written. The latest was about {resource}.",
        "The count is exact. The first hundred of each kind, and one a second, are written in full.",
    ),
    say(
        Layer::Log,
        "rotation",
        "The log went on in another file. This is the last record of the old one, which is called {resource} from then \
         on.",
        "",
    ),
    say(
        Layer::Log,
        "segment",
        "This is the first record of another file of log {log}. The record before it is {after}.",
        "",
    ),
    say(
        Layer::Log,
        "retention",
        "Files of the log with the records from {first} to {last} were removed, because the operator's retention says \
         so ({rule}).",
        "Of those records nothing else is left.",
    ),
    say(
        Layer::Log,
        "key-change",
        "From here on the key {new} signs the log, instead of {old}.",
        "The old key signed for the new one.",
    ),
    say(
        Layer::Log,
        "key-lost",
        "The key that signed this log is not there any more, and another one signs from here on.",
        "Nothing leads from the old key to the new one: ask the operator where it went.",
    ),
    say(
        Layer::Log,
        "rotation-failed",
        "The log could not go on in another file: {cause}.",
        "It goes on in this one.",
    ),
    say(
        Layer::Log,
        "segment-failed",
        "Old files of the log could not be put in order: {cause}.",
        "The log goes on.",
    ),
    say(Layer::Log, "checkpoint-failed", "The log could not be signed: {cause}.", "It tries again."),
    say(Layer::Log, "sink-failed", "A checkpoint could not be handed on: {cause}.", "The log tries again."),
    say(Layer::Log, "*", "Of the log itself: `{event}`, {reason}.", ""),
];

/// What a layer's word is worth.
pub(super) const fn worth(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::KernelAttested => {
            "kernel-attested: the kernel says so. The worker could neither forge this nor keep it from being written."
        }
        Evidence::HostObserved => {
            "host-observed: the host did it or saw it. It is as good as the machine that the host runs on; the worker \
             could not forge it."
        }
        Evidence::WorkerClaimed => {
            "worker-claimed: the worker says so, and a worker that was taken over says what it likes, or nothing."
        }
    }
}

/// How something that a worker tried ended; nothing where there was nothing to decide.
pub(super) const fn ending(decision: Decision) -> Option<&'static str> {
    match decision {
        Decision::Allowed => Some("It was allowed."),
        Decision::Denied => Some("It was refused; the worker went on."),
        Decision::Killed => Some("It was refused, and the worker was ended."),
        Decision::Noted => None,
    }
}

/// What types of plugins are called, and what they are for (docs/profiles.md).
pub(super) const TYPES: [(&str, &str, &str); 4] = [
    ("node", "a node", "pure computation, without files and network"),
    ("integration", "an integration", "talking to the https services that it lists"),
    ("agent", "an agent", "using tools and models within budgets"),
    ("quality_gate", "a quality gate", "reading a tree and reporting on it"),
];

/// What system calls are for, those that attackers reach for first.
pub(super) const CALLS: &[(&[&str], &str)] = &[
    (&["open", "openat", "openat2", "creat", "open_by_handle_at"], "opens a file"),
    (&["socket", "socketpair", "bind", "listen", "accept", "accept4"], "makes a network connection possible"),
    (&["connect", "sendto"], "reaches out over a socket"),
    (&["execve", "execveat"], "starts another program in this one's place"),
    (&["clone", "clone3", "fork", "vfork"], "makes another process or thread"),
    (
        &["mmap", "mprotect", "pkey_mprotect", "mremap"],
        "changes memory; with PROT_EXEC (4) in its third argument \
     it makes code out of data",
    ),
    (&["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"], "reads or changes another process"),
    (&["kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo"], "sends a signal to a process"),
    (
        &["mount", "umount2", "pivot_root", "chroot", "move_mount", "fsmount", "open_tree"],
        "changes what the file \
     system looks like",
    ),
    (&["unshare", "setns"], "enters other namespaces, where there is more to attack"),
    (
        &["seccomp", "prctl", "landlock_create_ruleset", "landlock_restrict_self"],
        "changes confinement, or mutes its \
     reports",
    ),
    (
        &["bpf", "perf_event_open", "io_uring_setup", "userfaultfd", "keyctl", "add_key"],
        "reaches a part of the kernel \
     that attackers like for its bugs",
    ),
    (&["memfd_create", "memfd_secret"], "makes a file in memory, as for a program that was brought along"),
    (&["recvmsg", "sendmsg"], "passes open files between processes"),
    (&["ioctl"], "talks to a device or driver"),
    (&["setuid", "setresuid", "setgid", "setresgid", "capset"], "changes who the process is"),
    (
        &["statx", "stat", "newfstatat", "access", "faccessat2", "readlink", "readlinkat", "getdents64"],
        "looks at files",
    ),
];

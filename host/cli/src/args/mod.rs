mod audit;
mod control;
mod index;
mod install;
mod manual;
mod package;
mod policy;
mod preflight;
mod registry;
mod signing;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use stockade_policy::PluginType;
use tracing::level_filters::LevelFilter;

use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::output::Format;
use crate::serve::SupervisionFile;
pub(crate) use audit::*;
pub(crate) use control::*;
pub(crate) use index::{IndexArguments, IndexCommand, IndexMakeCommand, SearchCommand};
pub(crate) use install::*;
pub(crate) use manual::*;
pub(crate) use package::*;
pub(crate) use policy::*;
pub(crate) use preflight::*;
pub(crate) use registry::*;
pub(crate) use signing::*;

/// Runs plugins that you do not trust.
///
/// Each plugin runs in a confined process of its own. It reaches what you granted and nothing else, and
/// every attempt at more is in the audit log.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, after_help = exit::TABLE, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The least that is told on standard error: off, error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: LevelFilter,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one tool of a plugin; its result goes to standard output, everything else to standard error.
    #[command(after_help = exit::TABLE)]
    Run(Run),
    /// List the tools of a plugin, with the JSON Schemas of their arguments and results.
    Tools(Tools),
    /// Run the plugins of a configuration until told to stop.
    #[command(after_help = exit::TABLE)]
    Serve(Serve),
    /// Call a tool of a plugin that a running host has.
    #[command(after_help = exit::TABLE)]
    Call(CallCommand),
    /// Tell an event to the plugins of a running host that have a hook for it.
    Emit(Emit),
    /// Show how the plugins of a running host do.
    Ps(Ps),
    /// Show it again and again, the busiest first.
    Top(Top),
    /// Stop a plugin of a running host: it stays loaded, and gets no calls.
    Stop(Steering),
    /// Start a plugin again that was stopped, or whose calls its breaker has stopped.
    Start(Steering),
    /// Exchange a plugin's workers for new ones.
    Restart(Steering),
    /// Show what a running host and its plugins say.
    Logs(Logs),
    /// Show what happened to a plugin, up to 30 days back.
    History(History),
    /// Say whether a running host can do its work: 0 where it can, 8 where not or where none runs.
    Health(HealthCommand),
    /// Have a running host read its configuration again; the old one stays where the new one is broken.
    Reload(Plain),
    /// Change how much a running host tells in its log.
    LogLevel(LogLevel),
    /// Print what a running host counts, in the OpenMetrics text format.
    Metrics(MetricsCommand),
    /// Check what this machine and this installation offer, and what is missing.
    Doctor(Doctor),
    /// Read and verify the audit log.
    Audit(Audit),
    /// Show a plugin: what it is, what it may do, and how much that is.
    Show(Box<Show>),
    /// Show what plugins may do and why, what differs between two, and what would have been enough.
    Grants(GrantsArguments),
    /// Say yes or no to what plugins ask for, and take it back.
    Approvals(ApprovalsArguments),
    /// Check and try the organisation's policy.
    Policy(PolicyArguments),
    /// Make one file of a plugin's folder, the same bytes each time: for registries, and for `stockade run`.
    #[command(after_help = exit::TABLE)]
    Pack(PackCommand),
    /// Show what is in a package, or put it into a folder.
    #[command(after_help = exit::TABLE)]
    Unpack(UnpackCommand),
    /// Show what a plugin is and asks for, what its component imports and exports, and who has signed it. Nothing of it
    /// runs.
    #[command(after_help = exit::TABLE)]
    Inspect(InspectCommand),
    /// Push a package to an OCI registry, as it is.
    #[command(after_help = exit::TABLE)]
    Push(PushCommand),
    /// Pull a package from an OCI registry: the same bytes that were pushed.
    #[command(after_help = exit::TABLE)]
    Pull(PullCommand),
    /// Look at plugins as an install does: files, manifest, imports, permissions, signature, whether they come up. Says
    /// what is wrong, where, and what to do.
    #[command(after_help = exit::TABLE)]
    Preflight(PreflightCommand),
    /// Look for plugins in an index. Nothing of them is got.
    #[command(after_help = exit::TABLE)]
    Search(SearchCommand),
    /// Make an index of plugins, for others to search and to install from.
    Index(IndexArguments),
    /// Install a plugin: looked at as preflight does, written down with what it gets, and not run until it is enabled.
    #[command(after_help = exit::TABLE)]
    Install(Box<InstallCommand>),
    /// Install another package of a plugin. Whatever fails, the version before stays.
    #[command(after_help = exit::TABLE)]
    Update(Box<UpdateCommand>),
    /// Go back to the package before, with what that one got.
    #[command(after_help = exit::TABLE)]
    Rollback(Box<RollbackCommand>),
    /// Remove an installed plugin. Its store, its history and its approvals stay.
    #[command(after_help = exit::TABLE)]
    Uninstall(Box<UninstallCommand>),
    /// Have `stockade serve` run an installed plugin, from its next start or reload on.
    #[command(after_help = exit::TABLE)]
    Enable(Box<EnableCommand>),
    /// Have no host run an installed plugin.
    #[command(after_help = exit::TABLE)]
    Disable(Box<EnableCommand>),
    /// List the installed plugins. Runs nothing.
    List(ListCommand),
    /// Show the last changes of what is installed, those that failed too. Runs nothing.
    Changes(ChangesCommand),
    /// Show when installed plugins were loaded, and why not. Runs nothing.
    Ledger(ChangesCommand),
    /// Show which installed plugin offers which tools and hooks. Runs nothing.
    Capabilities(ListCommand),
    /// Copy the list of installed plugins into a new file.
    Backup(BackupCommand),
    /// Make keys to sign with.
    Key(KeyArguments),
    /// Sign a plugin, or the organisation's policy, beside whoever has signed it before.
    Sign(SignCommand),
    /// Say who has signed a plugin or a policy. 3 where nobody has whom you name.
    Verify(VerifyCommand),
    /// Print what completes command lines in a shell.
    Completions(CompletionsCommand),
    /// Write a manual page for the program and for each of its commands.
    Man(ManCommand),
}

/// Where things are kept.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// The state folder [default: /var/lib/stockade for root, otherwise stockade in $XDG_STATE_HOME].
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// The audit log's folder [default: audit in the state folder].
    #[arg(long, value_name = "DIR")]
    pub(crate) audit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// For people, or one JSON document for programs; errors too.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Which namespaces a worker gets besides every other layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Namespaces {
    /// Those that cost next to nothing.
    #[default]
    Auto,
    /// A network namespace too.
    All,
    /// None, for kernels and containers that forbid them. Every other layer stays.
    Off,
}

/// A plugin, and what it runs in.
#[derive(Debug, Args)]
pub(crate) struct Loading {
    #[command(flatten)]
    pub(crate) setup: Setup,
    /// Loads another plugin as well, whose tools an agent may be granted: a TOML file with plugin, type, grants,
    /// config, memory, write_limit, scratch, secrets, store, allow_addresses, per_call and per_day.
    #[arg(long = "with", value_name = "FILE")]
    pub(crate) with: Vec<PathBuf>,
    /// The organisation's policy [default: policy.toml in the state folder; without one the profiles hold as they are].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Language models that agents may be granted, each by its name: a TOML file.
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// Trusts the certificate authorities in this PEM file, besides the system's, when requests are sent.
    #[arg(long = "trust", value_name = "FILE")]
    pub(crate) trust: Vec<PathBuf>,
    /// Which namespaces the worker gets.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) namespaces: Namespaces,
    /// Where stockade-worker and stockade-compiler are [default: beside this program].
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
}

/// What a plugin is, and what it gets: on a command line, in a file, or as it was installed.
#[derive(Clone, Debug, Default, Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Setup {
    /// A folder with a plugin.toml, or a package; an installed plugin's name; a component file, which needs --type; or a TOML
    /// file that names one of them and says what it gets, as for --with. To install, also https://..., oci://..., or
    /// publisher/name@RANGE of an index.
    #[arg(value_name = "PLUGIN")]
    pub(crate) plugin: PathBuf,
    /// The type of a bare component: node, integration, agent, quality_gate.
    #[arg(long = "type", value_name = "TYPE")]
    #[serde(rename = "type")]
    pub(crate) plugin_type: Option<String>,
    /// Grants the plugin a directory: fs.read=HOST_DIR:GUEST_DIR, or fs.write, fs.create, fs.delete; or requests:
    /// http=[METHODS ][SCHEME://]HOST[:PORT][/PATH], and secrets for them: secret=NAME@HOST; or, to an agent,
    /// tool=PUBLISHER/PLUGIN#TOOL and model=NAME.
    #[arg(long = "grant", value_name = "CAPABILITY=RESOURCE")]
    pub(crate) grants: Vec<String>,
    /// Sets a configuration value that the plugin may read.
    #[arg(long = "config", value_name = "KEY=JSON")]
    pub(crate) config: Vec<String>,
    /// Memory that the worker may use, as 64MiB [default: the profile's].
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// By how much the granted directories may grow, as 64MiB [default: the profile's].
    #[arg(long, value_name = "SIZE")]
    pub(crate) write_limit: Option<String>,
    /// Gives the plugin /scratch, a directory of its own that goes with it.
    #[arg(long)]
    pub(crate) scratch: bool,
    /// Where a granted secret is read from: NAME=file:PATH, NAME=env:VARIABLE, NAME=command:PROGRAM.
    #[arg(long = "secret", value_name = "NAME=SOURCE")]
    pub(crate) secrets: Vec<String>,
    /// Gives the plugin a store of keys and values, kept under this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,
    /// Lets granted requests reach addresses that are closed to plugins, as 127.0.0.1 or 10.1.0.0/16.
    #[arg(long = "allow-address", value_name = "RANGE")]
    #[serde(rename = "allow_addresses")]
    pub(crate) addresses: Vec<String>,
    /// What an agent may have others do in one call: tool_calls, model_calls, tokens, or cost in millionths of the
    /// currency of the models' prices [default: the profile's].
    #[arg(long, value_name = "UNIT=NUMBER")]
    pub(crate) per_call: Vec<String>,
    /// Likewise in a day, which outlives this command.
    #[arg(long, value_name = "UNIT=NUMBER")]
    pub(crate) per_day: Vec<String>,
    /// In a file: whether `stockade serve` runs it.
    #[arg(skip)]
    pub(crate) enabled: Option<bool>,
    /// In a file: how `stockade serve` keeps it.
    #[arg(skip)]
    pub(crate) supervision: SupervisionFile,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// The tool to run.
    #[arg(long, value_name = "NAME")]
    pub(crate) tool: String,
    /// Its arguments: a JSON text, - for standard input, or @FILE.
    #[arg(long = "args", value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// How long the call may take, as 5s or 500ms [default: the profile's].
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    /// Looks for what the plugin needs: it gets nothing more, its denials are marked in the audit log, and what would
    /// have been enough is told in the end.
    #[arg(long)]
    pub(crate) observe: bool,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Tools {
    #[command(flatten)]
    pub(crate) loading: Loading,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(crate) struct Doctor {
    /// Anything that is wrong with an installed plugin makes it fail, warnings too.
    #[arg(long, conflicts_with = "attack")]
    pub(crate) strict: bool,
    /// The organisation's policy [default: policy.toml in the state folder; without one the profiles hold as they are].
    #[arg(long, value_name = "FILE", conflicts_with = "attack")]
    pub(crate) policy: Option<PathBuf>,
    /// Attack this machine's confinement instead, and say what held. Takes about a minute of processor time.
    #[arg(long)]
    pub(crate) attack: bool,
    /// Only this attack: the number of a case (A31) or one of its ids; may be repeated.
    #[arg(long = "case", value_name = "CASE", requires = "attack")]
    pub(crate) cases: Vec<String>,
    #[command(flatten)]
    pub(crate) places: Places,
    /// Where stockade-worker and stockade-compiler are [default: beside this program].
    #[arg(long, value_name = "DIR")]
    pub(crate) programs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Command {
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Run(arguments) => arguments.output.format,
            Self::Tools(arguments) => arguments.output.format,
            Self::Serve(arguments) => arguments.output.format,
            Self::Call(arguments) => arguments.output.format,
            Self::Emit(arguments) => arguments.output.format,
            Self::Ps(arguments) => arguments.output.format,
            Self::Stop(arguments) | Self::Start(arguments) | Self::Restart(arguments) => {
                arguments.output.format
            }
            Self::Logs(arguments) => arguments.output.format,
            Self::History(arguments) => arguments.output.format,
            Self::Health(arguments) => arguments.output.format,
            Self::Reload(arguments) => arguments.output.format,
            Self::LogLevel(arguments) => arguments.output.format,
            Self::Top(_) | Self::Metrics(_) | Self::Completions(_) => Format::Text,
            Self::Doctor(arguments) => arguments.output.format,
            Self::Search(command) => command.output.format,
            Self::Index(IndexArguments { command: IndexCommand::Make(command) }) => command.output.format,
            Self::Install(command) => command.how.output.format,
            Self::Update(command) => command.how.output.format,
            Self::Rollback(command) => command.how.output.format,
            Self::Uninstall(command) => command.how.output.format,
            Self::Enable(command) | Self::Disable(command) => command.how.output.format,
            Self::List(command) | Self::Capabilities(command) => command.output.format,
            Self::Changes(command) | Self::Ledger(command) => command.output.format,
            Self::Backup(command) => command.output.format,
            Self::Audit(Audit { command }) => match command {
                AuditCommand::Tail(reading) => reading.of.at.format.into(),
                AuditCommand::Query(reading) => reading.of.at.format.into(),
                AuditCommand::Show(reading) | AuditCommand::Explain(reading) => reading.of.at.format.into(),
                AuditCommand::Stats(reading) => reading.of.at.format.into(),
                AuditCommand::Export(reading) => reading.of.at.format.into(),
                AuditCommand::Index(reading) => reading.of.at.format.into(),
                AuditCommand::ChangeKey { output, .. } | AuditCommand::Verify { output, .. } => output.format,
            },
            Self::Show(arguments) => arguments.weighing.output.format,
            Self::Grants(arguments) => match &arguments.command {
                GrantsCommand::Show { weighing } => weighing.output.format,
                GrantsCommand::Diff { output, .. } | GrantsCommand::Suggest { output, .. } => output.format,
            },
            Self::Approvals(arguments) => match &arguments.command {
                ApprovalsCommand::Approve { deciding, .. } | ApprovalsCommand::Deny { deciding } => {
                    deciding.weighing.output.format
                }
                ApprovalsCommand::List { output, .. }
                | ApprovalsCommand::Show { output, .. }
                | ApprovalsCommand::Revoke { output, .. } => output.format,
            },
            Self::Policy(arguments) => match &arguments.command {
                PolicyCommand::Explain { weighing, .. } => weighing.output.format,
                PolicyCommand::Check { output, .. } | PolicyCommand::Test { output, .. } => output.format,
            },
            Self::Push(command) => command.output.format,
            Self::Pull(command) => command.output.format,
            Self::Preflight(command) => command.format.for_failures(),
            Self::Pack(command) => command.output.format,
            Self::Unpack(command) => command.output.format,
            Self::Inspect(command) => command.output.format,
            Self::Key(arguments) => match &arguments.command {
                KeyCommand::New { output, .. } => output.format,
            },
            Self::Sign(command) => command.output.format,
            Self::Verify(command) => command.output.format,
            Self::Man(command) => command.output.format,
        }
    }
}

impl Setup {
    pub(crate) fn plugin_type(&self) -> Result<Option<PluginType>, Failure> {
        plugin_type(self.plugin_type.as_deref())
    }
}

/// What `--type` says.
pub(crate) fn plugin_type(text: Option<&str>) -> Result<Option<PluginType>, Failure> {
    text.map(str::parse).transpose().map_err(|error: stockade_policy::UnknownPluginType| {
        Failure::usage(
            "unknown-type",
            "--type",
            format!("unknown plugin type {:?}", error.0),
            "the types are node, integration, agent, quality_gate",
        )
    })
}

impl Arguments {
    /// Reads the command line; says what is wrong with it, or shows the help, and how the program ends.
    pub(crate) fn read() -> Result<Self, Exit> {
        Self::try_parse().map_err(|error| {
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                let _ = error.print();
                return Exit::Ok;
            }
            if !wants_json(std::env::args_os().skip(1)) {
                let _ = error.print();
                return Exit::Usage;
            }
            let message = complaint(&error.render().to_string());
            Failure::usage("usage", "command line", message, "see --help").report(Format::Json)
        })
    }
}

/// What clap says is wrong, in one line, without the usage and the tips after it.
fn complaint(rendered: &str) -> String {
    let said = rendered.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = said.trim_start_matches("error:").split_whitespace().collect();
    words.join(" ")
}

/// Whether a command line that does not parse asks for JSON all the same.
fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let arguments: Vec<_> = arguments.collect();
    arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn run_takes_what_the_manual_says() {
        let arguments = Arguments::try_parse_from([
            "stockade",
            "run",
            "plugins/x",
            "--type",
            "node",
            "--grant",
            "fs.read=a:/a",
            "--grant",
            "fs.read=b:/b",
            "--config",
            "k=1",
            "--tool",
            "scan",
            "--args",
            "-",
            "--deadline",
            "5s",
            "--memory",
            "64MiB",
            "--write-limit",
            "1GiB",
            "--scratch",
            "--audit",
            "log",
            "--state",
            "s",
            "--namespaces",
            "off",
            "--format",
            "json",
        ])
        .expect("arguments");
        assert_eq!(arguments.command.format(), Format::Json);
        let Command::Run(run) = arguments.command else { panic!("another command") };
        assert_eq!(run.loading.setup.grants.len(), 2);
        assert!(run.loading.setup.scratch && run.loading.setup.write_limit.is_some());
        assert_eq!(run.loading.setup.plugin_type().expect("a type"), Some(PluginType::Node));
        assert_eq!((run.tool.as_str(), run.arguments.as_str()), ("scan", "-"));
        assert_eq!(run.loading.namespaces, Namespaces::Off);
    }

    #[test]
    fn run_without_a_tool_is_no_command() {
        assert!(Arguments::try_parse_from(["stockade", "run", "x"]).is_err());
    }

    #[test]
    fn arguments_are_an_empty_object_if_not_given() {
        let parsed = Arguments::try_parse_from(["stockade", "run", "x", "--tool", "t"]).expect("arguments");
        let Command::Run(run) = parsed.command else { panic!("another command") };
        assert_eq!(run.arguments, "{}");
    }

    #[test]
    fn attack_cases_may_be_repeated_and_are_nothing_without_the_attack() {
        let line = ["stockade", "doctor", "--attack", "--case", "A31", "--case", "C1.start-loop"];
        let Command::Doctor(doctor) = Arguments::try_parse_from(line).expect("arguments").command else {
            panic!("another command")
        };
        assert!(doctor.attack);
        assert_eq!(doctor.cases, ["A31", "C1.start-loop"]);
        assert!(Arguments::try_parse_from(["stockade", "doctor", "--case", "A31"]).is_err());
    }

    #[test]
    fn an_unknown_type_is_told_with_the_types() {
        let parsed =
            Arguments::try_parse_from(["stockade", "tools", "x", "--type", "nod"]).expect("arguments");
        let Command::Tools(tools) = parsed.command else { panic!("another command") };
        assert_eq!(tools.loading.setup.plugin_type().expect_err("none").problem.code, "unknown-type");
    }

    #[test]
    fn a_complaint_names_every_missing_argument_in_one_line() {
        let error =
            Arguments::try_parse_from(["stockade", "run"]).expect_err("incomplete").render().to_string();
        assert_eq!(
            complaint(&error),
            "the following required arguments were not provided: --tool <NAME> <PLUGIN>"
        );
    }

    #[test]
    fn json_is_wanted_in_both_spellings() {
        let wants = |line: &str| wants_json(line.split(' ').map(Into::into));
        assert!(wants("run --format json") && wants("run --format=json x"));
        assert!(!wants("run --format text json") && !wants("run json"));
    }
}

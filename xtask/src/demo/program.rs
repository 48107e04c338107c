//! Calls `stockade` as a user would, and reads what it said and what it recorded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

/// The program, with one audit folder for all that is shown.
pub(super) struct Stockade {
    program: PathBuf,
    audit: PathBuf,
    /// Compiled plugins are kept here from one demonstration to the next.
    state: PathBuf,
}

/// What came of one run of a plugin.
pub(super) struct Ran {
    /// The tool's result, where there is one.
    pub(super) value: Option<Value>,
    /// The program's exit code.
    pub(super) code: Option<i32>,
    pub(super) took: Duration,
    /// The records that it left.
    pub(super) records: Vec<Value>,
    answer: Value,
    errors: String,
}

impl Stockade {
    pub(super) fn new(program: PathBuf, audit: PathBuf, state: PathBuf) -> Self {
        Self { program, audit, state }
    }

    pub(super) fn audit(&self) -> &Path {
        &self.audit
    }

    pub(super) fn log(&self) -> PathBuf {
        self.audit.join("audit.jsonl")
    }

    /// `stockade` with these arguments.
    pub(super) fn call(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(&self.program).args(arguments).output();
        output.with_context(|| format!("{} does not start", self.program.display()))
    }

    /// `stockade run`, with the command shown as one would type it.
    pub(super) fn run(&self, plugin: &Path, options: &[&str], tool: &str, arguments: &Value) -> Result<Ran> {
        let text = arguments.to_string();
        println!(
            "   $ stockade run {} {} --tool {tool} --args '{text}'\n",
            plugin.display(),
            options.join(" ")
        );
        self.run_quietly(plugin, options, tool, arguments)
    }

    pub(super) fn run_quietly(
        &self,
        plugin: &Path,
        options: &[&str],
        tool: &str,
        arguments: &Value,
    ) -> Result<Ran> {
        let before = self.records()?.len();
        let (plugin, audit, text) =
            (plugin.to_string_lossy(), self.audit.to_string_lossy(), arguments.to_string());
        let mut all = vec!["run", &plugin];
        all.extend(options);
        let state = self.state.to_string_lossy();
        all.extend([
            "--tool", tool, "--args", &text, "--state", &state, "--audit", &audit, "--format", "json",
        ]);
        let began = Instant::now();
        let output = self.call(&all)?;
        let took = began.elapsed();
        let answer = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Ok(Ran {
            value: result_of(&answer),
            code: output.status.code(),
            took,
            records: self.records()?.split_off(before),
            answer,
            errors: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn records(&self) -> Result<Vec<Value>> {
        let log = self.log();
        if !log.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        text.lines().map(|line| serde_json::from_str(line).context("a record is not JSON")).collect()
    }
}

/// The tool's result within what `--format json` prints.
fn result_of(answer: &Value) -> Option<Value> {
    answer.get("value").cloned()
}

impl Ran {
    /// The records of refusals, the most telling first: what was refused before how the worker ended.
    pub(super) fn refusals(&self) -> Vec<&Value> {
        let refused = |record: &&Value| matches!(record["decision"].as_str(), Some("denied" | "killed"));
        self.records.iter().filter(refused).collect()
    }

    /// How it ended, in the program's words.
    pub(super) fn said(&self) -> String {
        let reason = &self.answer["error"]["message"];
        match reason.as_str() {
            Some(reason) => reason.to_owned(),
            None if self.errors.is_empty() => format!("exit code {}", self.code.unwrap_or(-1)),
            None => self.errors.clone(),
        }
    }

    /// The one word for how it ended.
    pub(super) fn status(&self) -> String {
        let code = self.answer["error"]["code"].as_str();
        self.answer["status"].as_str().or(code).unwrap_or("no answer").to_owned()
    }
}

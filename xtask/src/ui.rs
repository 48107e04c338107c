//! What a person sees while something takes time: one live line on a terminal, plain lines in a pipe.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// In a pipe, a step that is still running says so this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// One piece of work with a name, a changing detail, and an end.
pub(crate) struct Step {
    name: String,
    began: Instant,
    spoke: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    pub(crate) fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed:.dim} {wide_msg:.dim}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner().with_style(style).with_prefix(name.clone());
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        if spinner.is_none() {
            eprintln!("{name} ...");
        }
        Self { name, began: Instant::now(), spoke: Instant::now(), spinner }
    }

    /// What it is doing just now.
    pub(crate) fn detail(&mut self, line: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(line.trim().to_owned()),
            None if self.spoke.elapsed() > SIGN_OF_LIFE => {
                self.spoke = Instant::now();
                eprintln!("{} ... {} ({})", self.name, seconds(self.began.elapsed()), line.trim());
            }
            None => {}
        }
    }

    /// Ends with a line that stays.
    pub(crate) fn end(self, mark: &str, result: &str) {
        let gap = if result.is_empty() { "" } else { ", " };
        let line = format!("{mark} {}{gap}{result} ({})", self.name, seconds(self.began.elapsed()));
        match self.spinner {
            Some(spinner) => {
                spinner.finish_and_clear();
                eprintln!("{line}");
            }
            None => eprintln!("{line}"),
        }
    }

    /// Ends with the mark that `result` calls for, and hands it on.
    pub(crate) fn end_with<T>(self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        self.end(if result.is_ok() { OK } else { BAD }, "");
        result
    }
}

/// Runs `work` as a step of this name; `work` gets what reports its details.
pub(crate) fn step<T>(
    name: &str,
    work: impl FnOnce(&mut dyn FnMut(&str)) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut step = Step::begin(name);
    let result = work(&mut |line| step.detail(line));
    step.end_with(result)
}

/// Marks a step that went well.
pub(crate) const OK: &str = "ok  ";
/// Marks a step that did not.
pub(crate) const BAD: &str = "FAIL";

/// A duration as people say it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        whole @ 0..60 => format!("{whole}.{} s", duration.subsec_millis() / 100),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

//! Reads what Rust's test harness prints.

use std::ops::AddAssign;

/// How tests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Tests and single cases that were left out, the ignored ones among them.
    pub(super) skipped: usize,
    pub(super) ignored: usize,
    /// The lines that say what was left out, and why.
    pub(super) skips: Vec<String>,
    /// Which test programs had a failure.
    pub(super) failures: Vec<String>,
}

impl Counts {
    /// Takes note of a program that failed, also where it printed no result of a test.
    pub(super) fn judge(&mut self, success: bool, label: impl FnOnce() -> String) {
        if !success && self.failed == 0 {
            self.failed = 1;
        }
        if self.failed > 0 {
            self.failures.push(label());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.ignored += other.ignored;
        self.skips.extend(other.skips);
        self.failures.extend(other.failures);
    }
}

/// Counts the results in a harness's output. A test that prints `SKIPPED: its-name: why` passes for the
/// harness and is skipped for us; one that prints it for a case with another name has skipped only that.
pub(super) fn count(output: &str) -> Counts {
    let mut counts = Counts::default();
    let mut section = "";
    let mut skipped_tests = 0;
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.split_whitespace().next()) {
            section = name;
        } else if let Some(results) = line.strip_prefix("test result: ") {
            counts.passed += number_before(results, " passed");
            counts.failed += number_before(results, " failed");
            counts.ignored += number_before(results, " ignored");
        } else if let Some(skip) = line.trim_start().strip_prefix("SKIPPED: ") {
            let name = skip.split(": ").next().unwrap_or(skip);
            if !section.is_empty() && (section == name || section.ends_with(&format!("::{name}"))) {
                skipped_tests += 1;
            }
            counts.skipped += 1;
            counts.skips.push(format!("SKIPPED: {skip}"));
        }
    }
    counts.passed = counts.passed.saturating_sub(skipped_tests);
    counts.skipped += counts.ignored;
    counts
}

fn number_before(text: &str, word: &str) -> usize {
    let end = text.find(word).unwrap_or(0);
    let start = text[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    text[start..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_not_a_passed_one() {
        let counts = count(
            "running 3 tests\ntest a ... ok\nsuccesses:\n\n---- m::a stdout ----\nSKIPPED: a: no cgroups\n\
             SKIPPED: A57-x32: no x32 here\n\n\
             test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped, counts.ignored), (2, 0, 4, 2));
        assert_eq!(counts.skips.len(), 2);
    }

    #[test]
    fn several_results_add_up() {
        let counts = count(
            "test result: ok. 10 passed; 0 failed; 0 ignored\n\
             test result: FAILED. 3 passed; 12 failed; 1 ignored\n",
        );
        assert_eq!((counts.passed, counts.failed, counts.skipped), (13, 12, 1));
    }

    #[test]
    fn no_harness_no_counts() {
        assert!(count("hello\n").is_empty());
    }
}

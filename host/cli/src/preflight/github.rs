//! Annotations for GitHub's workflows:
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use stockade_package::{Finding, Severity};

use super::Looked;
use crate::output::{self, safe};

pub(super) fn tell(looked: &[Looked]) {
    for looked in looked {
        looked.report.findings.iter().for_each(|finding| output::line(&command(looked, finding)));
    }
}

fn command(looked: &Looked, finding: &Finding) -> String {
    let severity = match finding.severity {
        // Their word for it.
        Severity::Note => "notice",
        other => other.as_str(),
    };
    let problem = &finding.problem;
    let mut properties = format!("file={}", property(&looked.found.file().display().to_string()));
    if let Some((line, column)) = looked.position(finding) {
        properties.push_str(&format!(",line={line},col={column}"));
    }
    let message = data(&format!("{}; next: {}", problem.message, problem.next_step));
    format!("::{severity} {properties},title={}::{message}", property(problem.code))
}

/// A message, of which no part is a command of its own.
fn data(text: &str) -> String {
    safe(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_is_one_message_and_one_property() {
        assert_eq!(data("100%\n::error::x"), "100%25\\u{a}::error::x");
        assert_eq!(property("a,line=1:b"), "a%2Cline=1%3Ab");
    }
}

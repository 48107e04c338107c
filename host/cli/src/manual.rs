//! `stockade completions` and `stockade man`: what shells and `man` know of the program, from the very command line that
//! it reads.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use serde_json::json;
use stockade_package::Problem;

use crate::args::{Arguments, CompletionsCommand, ManCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, SCHEMA, safe};

/// The section of the manual for programs.
const SECTION: &str = "1";

/// A page of the manual.
struct Page {
    /// The words of the command, with dashes between them: `stockade-audit-tail`.
    name: String,
    text: Vec<u8>,
}

impl Page {
    fn file(&self) -> String {
        format!("{}.{SECTION}", self.name)
    }
}

/// Those of a command and of everything below it. `clap` adds a `help` to each that has commands of its own: what that says
/// stands in the pages.
fn pages(command: &Command, name: &str, into: &mut Vec<Page>) -> io::Result<()> {
    // Whoever reads it looks for the page by this name.
    let named = command.clone().display_name(name).disable_help_subcommand(true);
    let source = format!("stockade {}", env!("CARGO_PKG_VERSION"));
    let mut text = Vec::new();
    Man::new(named).title(name).section(SECTION).source(source).manual("Stockade").render(&mut text)?;
    into.push(Page { name: name.to_owned(), text });
    let below = command.get_subcommands().filter(|command| command.get_name() != "help");
    for command in below.filter(|command| !command.is_hide_set()) {
        pages(command, &format!("{name}-{}", command.get_name()), into)?;
    }
    Ok(())
}

fn all_pages() -> io::Result<Vec<Page>> {
    let mut command = Arguments::command();
    // Options of the program are options of each command.
    command.build();
    let mut all = Vec::new();
    pages(&command, "stockade", &mut all)?;
    Ok(all)
}

/// `stockade completions`.
pub(crate) fn completions(command: &CompletionsCommand) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Arguments::command(), "stockade", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Ok)
}

/// `stockade man`.
pub(crate) fn man(command: &ManCommand) -> Result<Exit, Failure> {
    let folder = &command.folder;
    let failed = |path: &Path, error: io::Error| {
        let message = format!("{}: {error}", path.display());
        let next = "name a folder that you can write to";
        Failure::new(Exit::Usage, Problem::new("unwritable", "FOLDER", message, next))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let pages = all_pages().map_err(|error| failed(folder, error))?;
    for page in &pages {
        let path = folder.join(page.file());
        fs::write(&path, &page.text).map_err(|error| failed(&path, error))?;
    }
    match command.output.format {
        Format::Json => {
            let files: Vec<_> = pages.iter().map(Page::file).collect();
            output::document(&json!({ "schema": SCHEMA, "folder": folder, "pages": files }));
        }
        Format::Text => {
            output::line(&safe(&format!("{} pages are in {}", pages.len(), folder.display())));
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands by their words, from the command line alone.
    fn commands(command: &Command, before: &str, into: &mut Vec<String>) {
        for below in command.get_subcommands() {
            let name = format!("{before}-{}", below.get_name());
            commands(below, &name, into);
            into.push(name);
        }
    }

    #[test]
    fn every_command_has_one_page_that_says_what_it_does() {
        let mut expected = vec!["stockade".to_owned()];
        commands(&Arguments::command(), "stockade", &mut expected);
        expected.sort();
        let mut pages = all_pages().expect("written to memory");
        pages.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();
        assert_eq!(names, expected);
        for Page { name, text } in &pages {
            let text = String::from_utf8_lossy(text).replace('\\', "");
            assert!(text.contains(&format!(".TH {name} 1")), "{text}");
            assert!(text.contains(&format!(".SH NAME\n{name} - ")), "{text}");
            // An option of the program, in the page of each command.
            assert!(text.contains("--log"), "{name}: {text}");
        }
    }
}

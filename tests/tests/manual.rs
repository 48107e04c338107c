//! What shells and `man` are told of the program, held against those that are installed here.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stockade_tests::{dist, document, skipped, text};

/// Shells for which there is a script, and how each reads one without running it.
const SHELLS: [(&str, &str, &[&str]); 5] = [
    ("bash", "bash", &["-n"]),
    ("zsh", "zsh", &["-n"]),
    ("fish", "fish", &["--no-execute"]),
    ("elvish", "elvish", &["-compileonly"]),
    ("powershell", "pwsh", &["-NoProfile", "-NonInteractive", "-Command", READ_IN_POWERSHELL]),
];

/// PowerShell has no option to read alone: its parser is asked.
const READ_IN_POWERSHELL: &str = "$wrong = $null; \
     [void][System.Management.Automation.Language.Parser]::ParseFile($args[0], [ref]$null, [ref]$wrong); \
     if ($wrong) { $wrong; exit 1 }";

fn stockade(arguments: &[&str]) -> Output {
    Command::new(dist().join("stockade")).args(arguments).output().expect("the program is there")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Whether a program is installed: it says so where it is not.
fn installed(test: &str, program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let found = found.expect("there is a shell").success();
    if !found {
        skipped(test, &format!("{program} is not installed"));
    }
    found
}

/// The script for a shell, in a file of this folder.
fn script(shell: &str, folder: &Path) -> String {
    let made = stockade(&["completions", shell]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("preflight"), "{shell}: every command is in it");
    let file = folder.join(format!("stockade.{}", if shell == "powershell" { "ps1" } else { shell }));
    fs::write(&file, made.stdout).expect("writable");
    path(&file).to_owned()
}

#[test]
fn each_shell_can_read_what_completes_for_it() {
    const TEST: &str = "each_shell_can_read_what_completes_for_it";
    let folder = tempfile::tempdir().expect("a folder");
    for (shell, program, options) in SHELLS {
        let file = script(shell, folder.path());
        if !installed(TEST, program) {
            continue;
        }
        let read =
            |file: &str| Command::new(program).args(options).arg(file).output().expect("it is installed");
        let sound = read(&file);
        assert!(sound.status.success() && sound.stderr.is_empty(), "{shell}: {sound:?}");
        // The same reader sees what is no script.
        let broken = format!("{file}.broken");
        fs::write(&broken, "if true; then ( { \"").expect("writable");
        assert!(!read(&broken).status.success(), "{shell} takes anything");
    }
}

/// What bash offers for the last of these words.
fn bash_offers(script: &str, words: &[&str]) -> Vec<String> {
    let asks = "source \"$1\"; shift; \
                function=$(complete -p stockade | sed 's/.* -F \\([^ ]*\\) .*/\\1/'); \
                COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=\"$*\"; COMP_POINT=${#COMP_LINE}; \
                \"$function\" stockade \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc", "-c", asks, "bash", script]).args(words);
    let output = bash.output().expect("bash is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    if !installed("bash_completes_commands_and_options", "bash") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = script("bash", folder.path());
    let offers = |words: &[&str]| bash_offers(&script, words);
    assert_eq!(offers(&["stockade", "inst"]), ["install"]);
    assert_eq!(offers(&["stockade", "uninst"]), ["uninstall"]);
    assert_eq!(offers(&["stockade", "install", "--allow-u"]), ["--allow-unsigned"]);
    assert_eq!(offers(&["stockade", "audit", "expl"]), ["explain"]);
    assert_eq!(offers(&["stockade", "list", "--format", "j"]), ["json"]);
}

#[test]
fn each_command_has_a_page_that_man_can_show() {
    const TEST: &str = "each_command_has_a_page_that_man_can_show";
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("share/man/man1");
    let made = stockade(&["man", path(&folder), "--format", "json"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let said = document(&made);
    let said: Vec<_> =
        said["pages"].as_array().expect("a list").iter().filter_map(|page| page.as_str()).collect();
    let mut there: Vec<String> = fs::read_dir(&folder)
        .expect("it was made")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    there.sort();
    let mut named = said.clone();
    named.sort_unstable();
    assert_eq!(there, named, "what it says is what it wrote");

    // Those that the program's own help lists.
    let help = text(&stockade(&["--help"]).stdout);
    let listed = help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\nOptions:").next());
    let commands: Vec<&str> = listed
        .expect("a list of commands")
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 40 && commands.contains(&"install"), "{commands:?}");
    for command in commands {
        assert!(there.contains(&format!("stockade-{command}.1")), "{command}: {there:?}");
    }
    assert!(
        there.iter().any(|page| page == "stockade.1")
            && there.iter().any(|page| page == "stockade-audit-tail.1")
    );

    let quiet = |program: &str, options: &[&str]| {
        if !installed(TEST, program) {
            return;
        }
        for page in &there {
            let page = folder.join(page);
            let output = Command::new(program)
                .args(options)
                .arg(&page)
                .env("LC_ALL", "C.UTF-8")
                .env("MANWIDTH", "80")
                .env("MANROFFSEQ", "")
                .output()
                .expect("it is installed");
            let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{program}: {}: {told}",
                page.display()
            );
            assert!(program != "mandoc" || output.stdout.is_empty(), "{}: {told}", page.display());
        }
    };
    quiet("groff", &["-man", "-ww", "-z", "-Tutf8"]);
    quiet("man", &["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]);
    quiet("mandoc", &["-T", "lint", "-W", "error"]);
}

#[test]
fn pages_go_to_no_folder_that_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "kept").expect("writable");
    let refused = stockade(&["man", path(&file), "--format", "json"]);
    assert_eq!(refused.status.code(), Some(2));
    let error = &document(&refused)["error"];
    assert_eq!(
        (error["code"].as_str(), error["field"].as_str()),
        (Some("unwritable"), Some("FOLDER")),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "kept");
}

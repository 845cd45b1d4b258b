//! The thirteen commonest mistakes that the compiler finds, with the message that users see.
//!
//! `guide::compiler_errors` explains each. `TRYBUILD=overwrite cargo test --test ui` records the messages again.
//! Other compilers word the messages differently. With them, each program must still fail to compile, with the recorded
//! error codes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// The compiler whose messages are recorded.
const RECORDED_WITH: &str = "rustc 1.95.";
/// The folder of the programs and their messages.
const PROGRAMS: &str = "tests/ui";

/// Returns the version of the compiler that Cargo uses here.
fn compiler_version() -> String {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output().expect("rustc runs");
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// Returns the programs, in order.
fn programs() -> Vec<PathBuf> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAMS)).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "rs")).collect();
    programs.sort();
    programs
}

/// Returns what must be in the messages of the compiler: the codes of recorded errors, or "error" if they have none.
fn expected(recorded: &str) -> BTreeSet<&str> {
    let errors = recorded.lines().filter(|line| line.starts_with("error"));
    errors.map(|line| line.split(':').next().unwrap_or(line)).collect()
}

/// Returns the reason for which the result of a compilation is not the recorded mistake, if it is not.
fn difference(name: &str, is_success: bool, messages: &str, recorded: &str) -> Option<String> {
    if is_success {
        return Some(format!("{name} compiles"));
    }
    let files = [format!("/{name}.rs:"), format!("\\{name}.rs:")];
    let is_of_program = |line: &&str| files.iter().any(|file| line.contains(file));
    let of_program: Vec<&str> = messages.lines().filter(is_of_program).collect();
    let is_reported =
        |code: &&str| of_program.iter().any(|line| line.contains(&format!(" {code}: ")));
    let expected = expected(recorded);
    let missing: Vec<&str> = expected.iter().copied().filter(|code| !is_reported(code)).collect();
    if expected.is_empty() || !missing.is_empty() {
        return Some(format!(
            "{name}: has {expected:?} recorded, and {missing:?} is missing in:\n{messages}"
        ));
    }
    None
}

/// A package outside of the workspace with the programs as binaries.
struct Package {
    manifest: PathBuf,
}

impl Package {
    fn create(programs: &[PathBuf]) -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
        fs::create_dir_all(folder.join("src")).unwrap();
        let mut text = format!(
            "[workspace]\n[package]\nname = \"emberline-ui\"\nedition = \"2024\"\nautobins = false\n\
             [dependencies]\nemberline.path = {root:?}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n"
        );
        for program in programs {
            let name = program.file_stem().unwrap().to_string_lossy();
            let path = program.display().to_string();
            text.push_str(&format!("[[bin]]\nname = {name:?}\npath = {path:?}\n"));
        }
        let manifest = folder.join("Cargo.toml");
        fs::write(&manifest, text).unwrap();
        fs::copy(Path::new(root).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        Package { manifest }
    }

    /// Checks one program, and returns its messages with one line per error.
    fn check(&self, name: &str) -> Output {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = self.manifest.with_file_name("target");
        let mut command = Command::new(cargo);
        command.args(["check", "--quiet", "--offline", "--message-format", "short"]);
        command.args(["--bin", name, "--manifest-path"]).arg(&self.manifest);
        command.arg("--target-dir").arg(target).output().expect("cargo runs")
    }
}

/// Checks that each program fails with the recorded error codes, by any compiler.
fn check_error_codes() {
    let programs = programs();
    let package = Package::create(&programs);
    let mut differences = Vec::new();
    for program in &programs {
        let name = program.file_stem().unwrap().to_string_lossy();
        let recorded = fs::read_to_string(program.with_extension("stderr")).unwrap();
        let output = package.check(&name);
        let messages = String::from_utf8_lossy(&output.stderr);
        differences.extend(difference(&name, output.status.success(), &messages, &recorded));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn common_mistakes_are_reported_as_recorded() {
    let version = compiler_version();
    if version.starts_with(RECORDED_WITH) {
        trybuild::TestCases::new().compile_fail(format!("{PROGRAMS}/*.rs"));
    } else {
        // Written past the capture of tests, so that it is seen although the test passes.
        let skipped = writeln!(
            io::stderr(),
            "skipped: the texts of messages are recorded with {RECORDED_WITH}x, and this is {version}; \
             error codes are compared"
        );
        skipped.expect("stderr is open");
        check_error_codes();
    }
}

#[test]
fn a_program_that_compiles_or_fails_with_another_code_is_a_difference() {
    let recorded = "error[E0277]: no key\n --> tests/ui/a.rs:1:1\n";
    let failed = "tests/ui/a.rs:8:18: error[E0277]: no key\n";
    assert_eq!(difference("a", false, failed, recorded), None);
    assert!(difference("a", true, "", recorded).is_some(), "it compiles");
    assert!(difference("b", false, failed, recorded).is_some(), "the error is in another file");
    assert!(difference("a", false, &failed.replace("a.rs", "aa.rs"), recorded).is_some());
    let other = failed.replace("E0277", "E0308");
    assert!(difference("a", false, &other, recorded).is_some(), "another code");
    assert!(difference("a", false, failed, "").is_some(), "nothing is recorded");
    let without_code = "error: not general enough\n";
    assert_eq!(difference("a", false, "ui/a.rs:1:1: error: other words\n", without_code), None);
    assert!(difference("a", false, "error: no such package\n", without_code).is_some(), "no line");
}

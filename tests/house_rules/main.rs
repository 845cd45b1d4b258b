//! The rules of this project, checked on its sources and documents. A rule without a check decays.
//!
//! - `deadlines`: no test can hang.
//! - `documents`: paths and items that documents name exist, and their lists and programs are complete.
//! - `layers`: imports between crates, the codec, access to the disk, and calls that library code may not have.
//! - `operations`: promised operations exist, are documented, and are in the table.
//! - `promises`: the cases of `tests/PROMISES.md` and `tests/spark_cases.md` name existing tests.
//! - `structure`: imports have no cycle, and modules have one style.
//! - `style`: no tuple only saves a line, groups of methods have headings, and documentation is short.
//! - `summaries`: the documentation of a function begins with a verb.
//! - `toolchain`: the workflow builds with the oldest supported version of Rust.
//! - `words`: retired names and phrases do not return.
//!
//! `tokens` separates code, comments and literals. Each rule has a test that it fails on a bad sample.

mod deadlines;
mod documents;
mod layers;
mod operations;
mod promises;
mod structure;
mod style;
mod summaries;
mod tokens;
mod toolchain;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the workspace with Rust files of ours.
const FOLDERS: [&str; 9] =
    ["core", "shuffle", "rdd", "src", "examples", "tests", "benches", "fuzz", "testkit"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all Rust files under some folders of the workspace, with their text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let files = files(folders.iter().map(|folder| root().join(folder)).collect(), "rs");
    assert!(!files.is_empty(), "no sources under {folders:?}");
    files
}

/// Returns all Markdown documents of the workspace, with their text.
fn documents() -> Vec<(String, String)> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    // Folders that are built or fetched, and the inputs of fuzz targets and properties, are not ours.
    let foreign = ["target", ".git", "proptest-regressions"];
    let is_ours = |path: &PathBuf| !foreign.iter().any(|name| path.ends_with(name));
    let documents = files(entries.filter(is_ours).collect(), "md");
    assert!(documents.len() > 10, "found only {} documents", documents.len());
    documents
}

/// Returns the manifests, scripts and settings of the workspace and the recorded texts of tests, with their text.
fn project_files() -> Vec<(String, String)> {
    let folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    for extension in ["toml", "sh", "py", "scala", "stderr"] {
        found.extend(files(folders.clone(), extension));
    }
    found.extend(files(vec![root().join("tests/snapshots")], "txt"));
    found.extend(files(vec![root().join(".github")], "yml"));
    let others = ["Cargo.toml", "clippy.toml", "deny.toml", "rust-toolchain.toml", "rustfmt.toml"];
    let scripts = ["justfile", ".ci/run", ".ci/nightly", ".editorconfig"];
    for name in others.into_iter().chain(scripts) {
        found.push((name.to_string(), fs::read_to_string(root().join(name)).unwrap()));
    }
    found
}

/// Returns the files with an extension among `paths` and under those that are folders.
fn files(mut paths: Vec<PathBuf>, extension: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            if !path.ends_with("target") {
                paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let name = path.strip_prefix(root()).unwrap().display().to_string().replace('\\', "/");
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Returns true if a file has nothing but tests.
fn is_test_file(name: &str) -> bool {
    let test_names = ["tests", "tests.rs", "scripts", "scripts.rs"];
    Path::new(name).components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        test_names.contains(&part.as_ref()) || part.ends_with("_tests.rs")
    })
}

/// Returns the lines of a file before its unit tests, without comments and blank lines.
fn code_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let holds_tests = |at: usize| {
        let next = lines[at + 1..].iter().find(|line| !line.starts_with('#'));
        lines[at] == "#[cfg(test)]" && next.is_some_and(|line| line.ends_with('{'))
    };
    let end = (0..lines.len()).find(|at| holds_tests(*at)).unwrap_or(lines.len());
    let code = lines[..end].iter().map(|line| line.trim());
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

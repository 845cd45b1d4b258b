//! Crates import in one direction, each kind of access is in one file or folder, and library code has no calls
//! that only tests may have.

use super::tokens::without_literals;
use super::{code_lines, is_test_file, root, sources};
use std::fs;

/// Calls and keywords that library code may not have.
const BANNED: [&str; 5] = [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "unsafe "];

/// Returns the lines of code before the unit tests that have one of `words` outside of comments and literals.
fn lines_with(text: &str, words: &[&str]) -> Vec<String> {
    let code = without_literals(text);
    let lines = code_lines(&code);
    let found = lines.iter().filter(|line| words.iter().any(|word| line.contains(word)));
    found.map(|line| line.to_string()).collect()
}

/// Returns the lines of a manifest that name a crate with `prefix`, other than the crate itself and the test kit.
fn dependencies(manifest: &str, own: &str, prefix: &str) -> Vec<String> {
    let own = format!("name = \"{own}\"");
    let is_allowed = |line: &str| line == own || line.starts_with("emberline-testkit");
    let found = manifest.lines().filter(|line| line.contains(prefix) && !is_allowed(line));
    found.map(str::to_string).collect()
}

/// Returns true if a file begins with a sentence about it, or with attributes before that.
fn has_docs(text: &str) -> bool {
    text.starts_with("//!") || text.starts_with("#![")
}

#[test]
fn every_file_begins_with_a_sentence_about_it() {
    for (name, text) in sources(&["core", "shuffle", "rdd", "src", "examples", "tests", "benches"])
    {
        assert!(has_docs(&text), "{name} has no module documentation");
    }
}

#[test]
fn imports_go_one_way() {
    let forbidden: [(&str, &[&str]); 4] = [
        ("core", &["emberline_shuffle", "emberline_rdd", "emberline::"]),
        ("shuffle", &["emberline_rdd", "emberline::"]),
        ("rdd/src/narrow", &["emberline_shuffle"]),
        ("rdd/src/source", &["emberline_shuffle"]),
    ];
    for (folder, above) in forbidden {
        for (name, text) in sources(&[folder]) {
            assert_eq!(lines_with(&text, above), [""; 0], "{name} imports upwards");
        }
    }
    for (folder, prefix) in [("core", "emberline-"), ("shuffle", "emberline-rdd")] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let upwards = dependencies(&manifest, &format!("emberline-{folder}"), prefix);
        assert_eq!(upwards, [""; 0], "{folder}/Cargo.toml depends upwards");
    }
}

#[test]
fn jobs_are_run_by_actions_only() {
    for (name, text) in sources(&["rdd/src"]) {
        let runs = lines_with(&text, &[".run_job("]);
        assert!(runs.is_empty() || name.starts_with("rdd/src/action/"), "{name}: {runs:?}");
    }
}

#[test]
fn engine_locks_are_those_of_one_file_that_counts_them() {
    let locks = ["std::sync::Mutex", "RwLock", "std::sync::Condvar", "PoisonError"];
    let imports_lock = |text: &str| {
        let mut imports = lines_with(text, &["use std::sync::"]).into_iter();
        imports.find(|line| line.contains("Mutex") || line.contains("Condvar"))
    };
    assert!(imports_lock("use std::sync::{Arc, Mutex};\n").is_some());
    for (name, text) in sources(&["core/src", "shuffle/src", "rdd/src", "src"]) {
        if name == "core/src/sync.rs" || is_test_file(&name) {
            continue;
        }
        assert_eq!(
            imports_lock(&text),
            None,
            "{name} uses a lock of std instead of core/src/sync.rs"
        );
        assert_eq!(lines_with(&text, &locks), [""; 0], "{name} uses a lock of std");
    }
}

#[test]
fn one_folder_names_the_codec() {
    for (name, text) in sources(&["core/src", "shuffle/src", "rdd/src", "src"]) {
        let named = lines_with(&text, &["bincode"]);
        assert!(named.is_empty() || name.starts_with("core/src/codec/"), "{name}: {named:?}");
    }
}

#[test]
fn shuffle_opens_files_through_the_scratch_directory_only() {
    for (name, text) in sources(&["shuffle/src"]).iter().filter(|(name, _)| !is_test_file(name)) {
        assert_eq!(lines_with(text, &["std::fs"]), [""; 0], "{name} opens files itself");
    }
}

#[test]
fn library_code_neither_unwraps_nor_leaves_work_undone() {
    for (name, text) in sources(&["core/src", "shuffle/src", "rdd/src", "src"]) {
        if !is_test_file(&name) {
            assert_eq!(lines_with(&text, &BANNED), [""; 0], "{name}");
        }
    }
}

#[test]
fn banned_words_are_found_in_code_only() {
    let code = "//! emberline_rdd\nuse emberline_rdd::Rdd;\nlet a = \"emberline_rdd\"; // emberline_rdd\n\
                let b = c.unwrap();\n#[cfg(test)]\nmod tests {\n    use emberline_rdd::Rdd;\n}\n";
    assert_eq!(lines_with(code, &["emberline_rdd"]), ["use emberline_rdd::Rdd;"]);
    assert_eq!(lines_with(code, &BANNED), ["let b = c.unwrap();"]);
}

#[test]
fn dependencies_upwards_and_files_without_documentation_are_found() {
    let manifest =
        "name = \"emberline-core\"\nemberline-testkit = 1\nemberline-rdd = 2\nserde = 3\n";
    assert_eq!(dependencies(manifest, "emberline-core", "emberline-"), ["emberline-rdd = 2"]);
    assert!(has_docs("//! Sorts.\n") && !has_docs("use std::fs;\n"));
}

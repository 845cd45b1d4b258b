//! The table of `guide::operations` has a row for every operation, and every row is an operation.

use super::{is_test_file, root, sources};
use std::collections::BTreeSet;
use std::fs;

/// The folders and files in which operations are defined.
const OPERATIONS: [&str; 8] = [
    "rdd/src/action/",
    "rdd/src/keyed/",
    "rdd/src/narrow/",
    "rdd/src/persist/",
    "rdd/src/source/",
    "rdd/src/explain/mod.rs",
    "rdd/src/checkpoint.rs",
    "rdd/src/rdd.rs",
];

/// The types whose methods are operations. Operations of the views have the names of those of `Rdd`.
const OWNERS: [&str; 6] = ["Rdd<", "Context", "Refs<", "RefsWith<", "With<", "WithPartitions<"];

/// Columns of a row of the table.
const COLUMNS: usize = 7;

/// Returns true if the header of an `impl` block names one of the types as the type it implements.
fn is_of_owner(header: &str) -> bool {
    let implemented = header.rsplit(" for ").next().unwrap_or(header);
    let name = implemented.trim_start_matches("impl").trim_start();
    let name = match name.strip_prefix('<') {
        Some(rest) => after_generics(rest).trim_start(),
        None => name,
    };
    OWNERS.iter().any(|owner| name.starts_with(owner))
}

/// Returns the text after the generic parameters that are open at its start.
fn after_generics(text: &str) -> &str {
    let mut depth = 1;
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if last != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
        last = c;
    }
    text
}

/// Returns the names of the public methods in the `impl` blocks and macros of operations in a file.
fn defined_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut is_inside = false;
    let lines: Vec<&str> = text.lines().take_while(|line| *line != "mod tests {").collect();
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with("impl") {
            let header = lines[number..].join(" ");
            is_inside = is_of_owner(header.split('{').next().unwrap_or(""));
        } else if line.starts_with("macro_rules!") {
            is_inside = true;
        } else if line.starts_with('}') {
            is_inside = false;
        }
        if let Some(method) = line.trim_start().strip_prefix("pub fn ").filter(|_| is_inside) {
            let end = method.find(|c: char| !c.is_alphanumeric() && c != '_');
            names.insert(method[..end.unwrap_or(method.len())].to_string());
        }
    }
    names.remove(""); // the name is a parameter of a macro
    names
}

/// Returns the names of all operations.
fn defined() -> BTreeSet<String> {
    let files = sources(&["rdd/src"]);
    let files = files.iter().filter(|(name, _)| {
        OPERATIONS.iter().any(|folder| name.starts_with(folder)) && !is_test_file(name)
    });
    files.flat_map(|(_, text)| defined_in(text)).collect()
}

/// Returns the names in the first column of the table.
fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("src/guide/operations.rs")).unwrap();
    let mut names = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("//! | [`")) {
        assert_eq!(line.matches(" |").count(), COLUMNS + 1, "a row lacks a column: {line}");
        let name = line.trim_start_matches("//! | [`").split('`').next().unwrap();
        names.insert(name.to_string());
    }
    names
}

#[test]
fn the_table_of_operations_is_complete() {
    let defined = defined();
    let documented = documented();
    assert!(defined.len() > 90, "found only {} operations", defined.len());
    let missing: Vec<&String> = defined.difference(&documented).collect();
    assert!(missing.is_empty(), "operations without a row in guide::operations: {missing:?}");
    let unknown: Vec<&String> = documented.difference(&defined).collect();
    assert!(unknown.is_empty(), "rows of guide::operations without an operation: {unknown:?}");
}

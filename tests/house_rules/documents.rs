//! Paths and items that documents name exist, the programs of the tutorial are complete, and the lists of examples
//! and of missing operations are right.

use super::operations::operations;
use super::tokens::{Kind, tokens};
use super::{code_lines, documents, root, sources};
use std::fs;
use std::path::Path;

/// Beginnings of quoted paths that are not of this repository: what programs write, and archives of others.
const FOREIGN_PATHS: [&str; 7] =
    ["target/", "out/", "attempts/", "proptest-regressions/", "usr/", "nycflights13/", "main/"];

/// The keywords that define an item.
const DEFINITIONS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "const"];

/// Returns the quoted texts of a document that are paths, each with the name of an item after it or "".
fn quoted_paths(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted.map(|quoted| quoted.split_once(": ").unwrap_or((quoted, "")));
    let is_ours = |path: &str| !FOREIGN_PATHS.iter().any(|foreign| path.starts_with(foreign));
    // A text that begins with a slash is a mark of a comment.
    let is_path = |path: &str| {
        path.contains('/') && !path.starts_with('/') && !path.contains([' ', '\n', '*'])
    };
    paths.filter(|(path, _)| is_path(path) && is_ours(path)).collect()
}

/// Returns true if a Rust file defines an item with exactly this name.
fn defines(source: &str, item: &str) -> bool {
    let mut identifiers = tokens(source);
    identifiers.retain(|token| token.kind == Kind::Identifier);
    let mut pairs = identifiers.windows(2);
    pairs.any(|pair| DEFINITIONS.contains(&pair[0].text) && pair[1].text == item)
}

/// Returns the quoted paths of a document that exist neither in `folder` nor in a folder above it, and the items that
/// their files do not define.
fn missing_paths_and_items(folder: &Path, text: &str) -> Vec<String> {
    let root = root();
    let above: Vec<&Path> =
        folder.ancestors().take_while(|above| above.starts_with(&root)).collect();
    let mut missing = Vec::new();
    for (path, item) in quoted_paths(text) {
        let found = above.iter().map(|above| above.join(path)).find(|path| path.exists());
        let source = |found: &Path| fs::read_to_string(found).unwrap_or_default();
        match found {
            None => missing.push(path.to_string()),
            Some(found) if !item.is_empty() && !defines(&source(&found), item) => {
                missing.push(format!("{path}: {item}"));
            }
            Some(_) => {}
        }
    }
    missing
}

/// Returns the number of programs in the documentation at the start of a file, and the lines that they hide.
fn programs(text: &str) -> (usize, Vec<&str>) {
    let mut programs = 0;
    let mut hidden = Vec::new();
    let mut is_inside = false;
    for line in text.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim) {
        if line.starts_with("```") {
            is_inside = !is_inside;
            programs += usize::from(line == "```" && is_inside);
        }
        hidden.extend((is_inside && (line == "#" || line.starts_with("# "))).then_some(line));
    }
    (programs, hidden)
}

/// Returns the lines of a program without imports, comments and blank lines.
fn counted_lines(text: &str) -> usize {
    let mut is_import = false;
    let is_counted = |line: &&&str| {
        is_import |= line.starts_with("use ");
        let counted = !is_import;
        is_import &= !line.ends_with(';');
        counted
    };
    code_lines(text).iter().filter(is_counted).count()
}

/// Returns the file and the number in the third column of each row of a table of examples.
fn listed_examples(table: &str) -> Vec<(String, usize)> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let example = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (format!("examples/{}.rs", cells[0].trim_end_matches('`')), cells[2].parse().unwrap())
    };
    rows.map(example).collect()
}

/// Returns the names that a list quotes, in snake case, without those that " of" follows: they are missing in part
/// only.
fn listed_as_missing(list: &str) -> Vec<String> {
    let parts: Vec<&str> = list.split('`').collect();
    let quoted = parts.chunks(2).zip(parts.chunks(2).skip(1));
    let missing = quoted.filter_map(|(before, after)| {
        let is_whole = !after[0].starts_with(" of ");
        before.get(1).filter(|_| is_whole)
    });
    missing.map(|name| snake_case(name)).collect()
}

fn snake_case(name: &str) -> String {
    name.chars().fold(String::new(), |mut snake, c| {
        snake.extend(c.is_uppercase().then_some('_'));
        snake.extend(c.to_lowercase());
        snake
    })
}

#[test]
fn every_path_and_item_that_documents_name_exists() {
    let mut paths = 0;
    for (document, text) in documents() {
        let file = root().join(&document);
        let missing = missing_paths_and_items(file.parent().unwrap(), &text);
        assert_eq!(missing, [""; 0], "{document} names these, which do not exist");
        paths += quoted_paths(&text).len();
    }
    assert!(paths > 80, "the documents name only {paths} paths");
}

#[test]
fn no_program_of_the_tutorial_hides_a_line() {
    let text = fs::read_to_string(root().join("src/guide/tutorial.rs")).unwrap();
    let (programs, hidden) = programs(&text);
    assert_eq!(hidden, [""; 0], "the tutorial hides these, but its programs are complete");
    assert!(programs >= 8, "found only {programs} programs");
}

#[test]
fn examples_have_no_more_lines_than_their_table_says() {
    let table = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let listed = listed_examples(&table);
    let programs = sources(&["examples"]);
    assert_eq!(listed.len(), programs.len(), "the table has a row for each example");
    for (name, text) in programs {
        let row = listed.iter().find(|(listed, _)| *listed == name);
        let (_, most) = row.unwrap_or_else(|| panic!("examples/README.md has no row for {name}"));
        let lines = counted_lines(&text);
        assert!(lines <= *most, "{name} has {lines} lines, examples/README.md says {most}");
    }
}

#[test]
fn operations_that_the_guide_for_users_of_spark_lists_as_missing_do_not_exist() {
    let text = fs::read_to_string(root().join("docs/coming-from-spark.md")).unwrap();
    let list = text.split("### Not here yet").nth(1).unwrap().split("## ").next().unwrap();
    let missing = listed_as_missing(list);
    for method in operations() {
        assert!(!missing.contains(&method.name), "{} exists", method.name);
    }
    assert!(missing.len() > 20, "the list names only {}", missing.len());
}

#[test]
fn missing_paths_and_items_are_found_by_their_complete_names() {
    let text = "`tests/house_rules/main.rs: sources`, `tests/house_rules/main.rs: source`, \
                `tests/house_rules/main`, `no path`, `//!`, `tests/*.rs` and `tests/house_rules`";
    assert_eq!(
        missing_paths_and_items(&root(), text),
        ["tests/house_rules/main.rs: source", "tests/house_rules/main"]
    );
    let folder = root().join("tests/house_rules");
    let text = "`house_rules/main.rs: sources`, `target/release`, `rdd/src/none.rs`";
    assert_eq!(missing_paths_and_items(&folder, text), ["rdd/src/none.rs"], "folders above it");
    assert!(defines("pub struct Rows<T>;", "Rows") && !defines("// fn rows\nfn row() {}", "rows"));
}

#[test]
fn hidden_lines_of_programs_are_found() {
    let text = "//! # Title\n//!\n//! ```\n//! # let a = 1;\n//! let b = a;\n//! ```\n";
    assert_eq!(programs(text), (1, vec!["# let a = 1;"]));
}

#[test]
fn lines_of_examples_are_counted_without_imports() {
    let text = "//! Counts.\n\nuse a::{\n    b,\n};\n\nfn main() {\n    // Prints.\n    b();\n}\n";
    assert_eq!(counted_lines(text), 3);
    let table = "| example | shows | lines |\n|---|---|---|\n| `pi` | darts | 12 |\n";
    assert_eq!(listed_examples(table), [("examples/pi.rs".to_string(), 12)]);
}

#[test]
fn missing_operations_are_read_from_the_list() {
    let list = "- `mapSide`, `countApprox` and the `numTasks` of `join`.";
    assert_eq!(listed_as_missing(list), ["map_side", "count_approx", "join"]);
}

//! Code is easy to read: no bindings of a tuple that only save lines, headings that group the methods of the types
//! with many, and documentation of limited length.

use super::operations::owner;
use super::tokens::without_literals;
use super::{code_lines, is_test_file, sources};

/// The folders whose code outside of tests binds one name at a time.
const ONE_NAME_AT_A_TIME: [&str; 6] = ["core", "shuffle", "rdd", "src", "examples", "testkit"];

/// Bindings of a tuple that stay, by file and pattern, each with the reason.
const ACCEPTED_TUPLES: [(&str, &str, &str); 0] = [];

/// The types whose documentation groups methods by headings.
const WITH_HEADINGS: [&str; 2] = ["Rdd", "Context"];

/// The number of lines of documentation in rdd that may not be reached. The guide explains what many operations have
/// in common, so that each of them need not repeat it. The protocol by which accumulators are committed takes 90 lines,
/// the table of paths and patterns 10, the shape of rows in a checkpoint and boxed unions 50, and the iterators of users
/// 30, and the table of results 20.
const RDD_DOC_LINES_LIMIT: usize = 3230;

/// Returns the number of lines of documentation in a file.
fn doc_lines(text: &str) -> usize {
    let lines = text.lines().map(str::trim_start);
    lines.filter(|line| line.starts_with("///") || line.starts_with("//!")).count()
}

/// Returns the length of the parenthesized text at the start of a text, or `None` if it does not end.
fn parenthesized(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Returns the patterns of `let (a, b) = (x, y);` outside of comments, literals and tests. A `let` with `else` or
/// in a condition compares both values at once and stays.
fn tuple_bindings(text: &str) -> Vec<String> {
    let code = code_lines(&without_literals(text)).join(" ");
    let bindings = code
        .match_indices("let (")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let mut found = Vec::new();
    for (at, _) in bindings {
        let pattern = &code[at + "let ".len()..];
        let Some(length) = parenthesized(pattern) else { continue };
        let (pattern, rest) = pattern.split_at(length);
        // A type between the pattern and the value changes nothing.
        let Some((_, value)) = rest.split_once('=') else { continue };
        let value = value.trim_start();
        let end = parenthesized(value).filter(|_| value.starts_with('('));
        if end.is_some_and(|end| value[end..].trim_start().starts_with(';')) {
            found.push(pattern.to_string());
        }
    }
    found
}

/// Returns the lines of `impl` blocks with public methods of one of `WITH_HEADINGS` without a heading above them.
fn without_heading(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !(line.starts_with("impl<") || line.starts_with("impl ")) {
            continue;
        }
        let block = lines[number..].iter().take_while(|line| **line != "}");
        let block = block.copied().collect::<Vec<_>>().join("\n");
        let header = &block[..block.find('{').unwrap_or(block.len())];
        let has_methods = block.contains("\n    pub fn ");
        if !has_methods || !WITH_HEADINGS.contains(&owner(&header.replace('\n', " "))) {
            continue;
        }
        let above = lines[..number].iter().rev().skip_while(|line| line.starts_with("#["));
        let first = above.take_while(|line| line.starts_with("///")).last();
        if first.is_none_or(|first| !first.starts_with("/// # ")) {
            found.push(format!("{}: {line}", number + 1));
        }
    }
    found
}

#[test]
fn no_tuple_only_saves_a_line() {
    let mut found = Vec::new();
    for (name, text) in sources(&ONE_NAME_AT_A_TIME) {
        if !is_test_file(&name) {
            found.extend(tuple_bindings(&text).into_iter().map(|pattern| (name.clone(), pattern)));
        }
    }
    for (file, pattern, reason) in ACCEPTED_TUPLES {
        assert!(reason.len() > 20, "{file}: {pattern} has no reason");
        let at = found.iter().position(|(name, it)| name == file && it == pattern);
        let at = at.unwrap_or_else(|| panic!("{file} has no {pattern}: remove the exception"));
        found.remove(at);
    }
    assert!(found.is_empty(), "bind these in a statement each: {found:#?}");
}

#[test]
fn every_group_of_methods_has_a_heading() {
    let mut found = Vec::new();
    for (name, text) in sources(&["rdd/src"]) {
        if !is_test_file(&name) {
            found.extend(without_heading(&text).into_iter().map(|line| format!("{name}:{line}")));
        }
    }
    assert_eq!(found, [""; 0], "add a line such as `/// # Joins` above these");
}

#[test]
fn the_documentation_of_rdd_is_short() {
    let lines: usize = sources(&["rdd"]).iter().map(|(_, text)| doc_lines(text)).sum();
    assert!(lines < RDD_DOC_LINES_LIMIT, "{lines} lines, the limit is {RDD_DOC_LINES_LIMIT}");
}

#[test]
fn lines_of_documentation_are_counted() {
    let code = "//! Sorts.\n\nmod a {\n    //! Joins.\n}\n\n    /// Sorts.\n    ///\n    // Why.\n    \
                fn f() {} /// Not at the start.\n";
    assert_eq!(doc_lines(code), 4);
}

#[test]
fn tuples_that_only_save_a_line_are_found() {
    let code = "// let (a, b) = (1, 2);\nfn f() {\n    let (a, b) = (1, \"(\");\n    \
                let (c, d): (u8, u8) =\n        (g(1, 2), 3);\n    let (e, f) = g();\n    \
                let (Some(g), Some(h)) = (a, b) else { return };\n    \
                if let (1, i) = (a, b) {}\n    let (j, k) = (a + 1).split();\n}\n\
                #[cfg(test)]\nmod tests {\n    fn f() {\n        let (l, m) = (1, 2);\n    }\n}\n";
    assert_eq!(tuple_bindings(code), ["(a, b)", "(c, d)"]);
}

#[test]
fn groups_of_methods_without_a_heading_are_found() {
    let code = "/// # Joins\n#[inline]\nimpl<T, P: Fn(T)> Rdd<T, P> {\n    pub fn join() {}\n}\n\n\
                /// Joins.\nimpl<T> Rdd<T>\nwhere\n    T: Eq,\n{\n    pub fn cogroup() {}\n}\n\n\
                impl Context {\n    pub(crate) fn id() {}\n}\n\nimpl Other {\n    pub fn id() {}\n}\n\n\
                impl Context {\n    pub fn range() {}\n}\n";
    assert_eq!(without_heading(code), ["8: impl<T> Rdd<T>", "23: impl Context {"]);
}

//! No test can hang: one that starts a context, a thread or a process gives up after a while.
//!
//! Tests of functions that only compute are exempt: they do not wait, so a helper thread for each of them
//! would detect no more. They could still loop without end. The tests of the scheduler's state machine, where
//! that is conceivable, have a `deadline` of their own, and the gate limits the time of each `cargo test`
//! (`timeout` in `.ci/run`).

use super::sources;
use std::collections::{HashMap, HashSet};

/// Calls that may wait for an event that never happens.
const STARTS: [&str; 8] = [
    "Context::local(",
    "Context::builder(",
    "Engine::start(",
    "thread::spawn(",
    "thread::scope(",
    "thread::Builder",
    "Command::new(",
    "Pool::build(",
];
/// Functions that bound the time of a test. They count only if they are called, not as words or variables.
const DEADLINES: [&str; 3] = ["within", "deadline", "on_stack"];

struct Function {
    name: String,
    body: String,
    is_test: bool,
}

/// Returns the functions of a file, including those in `mod tests` and in `proptest!`.
fn functions(text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let mut is_test = false;
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let is_public = ["pub(crate) ", "pub(super) ", "pub "].iter();
        let plain = is_public.fold(trimmed, |line, word| line.strip_prefix(word).unwrap_or(line));
        if let Some(rest) = plain.strip_prefix("fn ") {
            let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
            let body = lines[at + 1..].iter().take_while(|line| **line != end);
            let body = body.filter(|line| !line.trim_start().starts_with("//"));
            // One line, or a function of a trait without a body.
            let is_short = trimmed.ends_with(['}', ';']);
            let body = if is_short { Vec::new() } else { body.copied().collect() };
            let name = rest.split(['(', '<']).next().unwrap().to_string();
            let body = format!("{rest}\n{}", body.join("\n"));
            found.push(Function { name, body, is_test });
            is_test = false;
        } else if trimmed.starts_with("#[") {
            is_test |= trimmed == "#[test]";
        }
    }
    found
}

/// Returns the names in a body that a parenthesis follows.
fn calls(body: &str) -> HashSet<&str> {
    let before = body.match_indices('(').map(|(at, _)| &body[..at]);
    let names = before.map(|text| match text.rfind(|c| !is_name(c)) {
        Some(at) => &text[at + 1..],
        None => text,
    });
    names.collect()
}

/// Returns the names that a body calls or passes on: `within(DEADLINE, two_contexts)` runs both.
fn names(body: &str) -> impl Iterator<Item = &str> {
    // `new` is the name of too many functions to identify one.
    body.split(|c| !is_name(c)).filter(|name| !matches!(*name, "" | "new"))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns true if a function itself sets a time limit.
fn has_deadline(function: &Function) -> bool {
    let called = calls(function.body.split_once('{').map_or("", |(_, inside)| inside));
    DEADLINES.iter().any(|deadline| called.contains(deadline))
}

/// Returns the functions, by file and name, that reach one that `is_source` accepts. A name means
/// the function of its own file, if there is one, else one of `shared`.
fn reaching<'a>(
    files: &'a [(String, Vec<Function>)],
    shared: &str,
    is_source: impl Fn(&Function) -> bool,
) -> HashSet<(&'a str, &'a str)> {
    let own: HashMap<&str, HashSet<&str>> = files
        .iter()
        .map(|(file, all)| (file.as_str(), all.iter().map(|it| it.name.as_str()).collect()))
        .collect();
    let mut reached = HashSet::new();
    loop {
        let before = reached.len();
        for (file, all) in files {
            for function in all {
                let reaches = |name: &&str| {
                    let home = if own[file.as_str()].contains(name) { file } else { shared };
                    // A module also uses what the one above it has.
                    let above = file.rsplit_once('/').map(|(folder, _)| format!("{folder}/mod.rs"));
                    let above = above.filter(|_| home == shared);
                    reached.contains(&(home, *name))
                        || above.is_some_and(|above| reached.contains(&(above.as_str(), *name)))
                };
                if is_source(function) || names(&function.body).any(|name| reaches(&name)) {
                    reached.insert((file.as_str(), function.name.as_str()));
                }
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

#[test]
fn no_test_can_hang() {
    let mut tests = 0;
    let mut without = Vec::new();
    for (folders, shared) in [
        (&["tests/engine"][..], "tests/engine/support.rs"),
        (&["core/src", "shuffle", "rdd/src"], "testkit/src/deadline.rs"),
        (&["tests"], "tests/examples/main.rs"),
    ] {
        let mut files = sources(folders);
        files.retain(|(name, _)| folders != ["tests"] || name.starts_with("tests/examples"));
        let files: Vec<_> =
            files.into_iter().map(|(name, text)| (name, functions(&text))).collect();
        let starts = reaching(&files, shared, |function| {
            STARTS.iter().any(|start| function.body.contains(start))
        });
        let ends = reaching(&files, shared, has_deadline);
        for (file, all) in &files {
            for function in all.iter().filter(|function| function.is_test) {
                let id = (file.as_str(), function.name.as_str());
                let is_safe = !starts.contains(&id) || ends.contains(&id);
                without.extend((!is_safe).then(|| format!("{file}: {}", function.name)));
                tests += usize::from(starts.contains(&id));
            }
        }
    }
    assert_eq!(without, [""; 0], "these start something without a deadline");
    assert!(tests > 300, "only {tests} tests start something");
}

#[test]
fn the_rule_about_deadlines_finds_who_breaks_it() {
    let text = "#[test]\nfn hangs() {\n    let ctx = make();\n}\n\nfn make() -> Context {\n    \
                Context::local().unwrap()\n}\n\n#[test]\nfn ends() {\n    within(D, || make());\n}\n\n\
                #[test]\nfn boasts() {\n    // within a deadline\n    let deadline = make();\n}\n\n\
                fn deadline(limit: u8) {\n    wait(limit);\n}\n";
    let files = [("a.rs".to_string(), functions(text))];
    let starts = reaching(&files, "", |function| function.body.contains("Context::local("));
    let ends = reaching(&files, "", has_deadline);
    let names = |set: HashSet<(&str, &str)>| {
        let mut names: Vec<String> = set.into_iter().map(|(_, name)| name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(starts), names(ends)),
        (["boasts", "ends", "hangs", "make"].map(String::from).to_vec(), vec!["ends".to_string()])
    );
}

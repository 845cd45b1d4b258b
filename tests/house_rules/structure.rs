//! Checks the structure of the crates: imports between modules have no cycle and go one way, and modules
//! have one style of files.

use super::tokens::without_literals;
use super::{code_lines, is_test_file, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules of shuffle, each before those that it may import.
const SHUFFLE: [&str; 10] = [
    "checkpoint",
    "map_task",
    "join",
    "group",
    "aggregate",
    "map_output",
    "sort",
    "format",
    "keys",
    "memory",
];

/// Imports that close a cycle in rdd, each with the reason for which it stays.
const ACCEPTED: [(&str, &str, &str); 4] = [
    ("context", "report", "a context returns the reports of its jobs, which name the context"),
    (
        "context",
        "jobs",
        "a builder installs the Ctrl-C handler, which cancels the jobs of its context",
    ),
    (
        "pipeline",
        "narrow",
        "exports the views, so that the types of all pipelines are in one module",
    ),
    ("accumulator", "action", "exports the statistics that an action and an accumulator share"),
];

/// The modules that each top-level module of a crate imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// Returns the imports between the top-level modules under `folder`. `lib.rs` and `prelude.rs`, which only
/// export, have none.
fn imports(folder: &str) -> Imports {
    let mut all = Imports::new();
    let modules: BTreeSet<String> =
        sources(&[folder]).iter().map(|(name, _)| module(folder, name)).collect();
    for (name, text) in sources(&[folder]) {
        let importer = module(folder, &name);
        if is_test_file(&name) || importer == "lib" || importer == "prelude" {
            continue;
        }
        let imported = all.entry(importer.clone()).or_default();
        imported.extend(paths(&code_lines(&text).join(" ")));
        imported.retain(|name| modules.contains(name) && *name != importer);
    }
    all
}

/// Returns the top-level module of a file under `folder`.
fn module(folder: &str, file: &str) -> String {
    let path = file.strip_prefix(folder).unwrap().trim_start_matches('/');
    path.split('/').next().unwrap().trim_end_matches(".rs").to_string()
}

/// Returns the first segments of all paths that begin with `crate::`.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(first_name(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(first_name(&std::mem::take(&mut item))),
                _ => {}
            }
            if c != ',' {
                item.push(c);
            }
        }
        found.push(first_name(&item));
    }
    found
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Returns the modules of one cycle of imports, if there is one.
fn cycle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|start| visit(start, imports, &mut Vec::new(), &mut done))
}

/// Searches the modules that `module` reaches for one that is on the path to it.
fn visit(
    module: &str,
    imports: &Imports,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|name| name == module) {
        return Some(path[at..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.to_string());
    let next = imports.get(module).into_iter().flatten();
    let found = next.into_iter().find_map(|name| visit(name, imports, path, done));
    path.pop();
    done.insert(module.to_string());
    found
}

/// Returns the imports of a module that is earlier in `order`, or missing in it.
fn against_order(imports: &Imports, order: &[&str]) -> Vec<String> {
    let rank = |module: &str| order.iter().position(|name| *name == module);
    let pairs =
        imports.iter().flat_map(|(importer, names)| names.iter().map(move |it| (importer, it)));
    let wrong =
        pairs.filter(|(importer, name)| rank(importer).is_none() || rank(importer) >= rank(name));
    wrong.map(|(importer, name)| format!("{importer} imports {name}")).collect()
}

#[test]
fn imports_between_the_modules_of_shuffle_go_one_way() {
    assert_eq!(against_order(&imports("shuffle/src"), &SHUFFLE), [""; 0]);
}

/// Returns the names that a file takes from the root of its crate, where `lib.rs` exports them for others. The order
/// of modules is checked on paths, so each import names the module.
fn names_of_the_root(text: &str) -> Vec<String> {
    let names = paths(&without_literals(text));
    names.into_iter().filter(|name| name.starts_with(char::is_uppercase)).collect()
}

#[test]
fn shuffle_imports_from_modules_and_not_from_its_root() {
    for (name, text) in sources(&["shuffle/src"]) {
        let names = names_of_the_root(&text);
        assert_eq!(names, [""; 0], "{name}: write the module, `crate::module::Name`");
    }
}

#[test]
fn a_name_of_the_root_is_found() {
    let text = "// crate::Comment\nuse crate::{Group, keys::Key};\nfn f(by: crate::ByHash) {}\n";
    assert_eq!(names_of_the_root(text), ["Group", "ByHash"]);
}

#[test]
fn an_import_against_the_order_is_found() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let imports = Imports::from([
        ("sort".to_string(), names(&["join", "format"])),
        ("new".to_string(), names(&["format"])),
    ]);
    let found = against_order(&imports, &["join", "sort", "format"]);
    assert_eq!(found, ["new imports format", "sort imports join"]);
}

#[test]
fn imports_between_the_modules_of_core_and_of_rdd_have_no_cycle() {
    assert_eq!(cycle(&imports("core/src")), None, "in core");
    let mut rdd = imports("rdd/src");
    for (importer, imported, reason) in ACCEPTED {
        assert!(reason.len() > 20, "{importer} -> {imported} has no reason");
        let accepted = rdd.get_mut(importer).is_some_and(|names| names.remove(imported));
        assert!(accepted, "{importer} no longer imports {imported}: remove the exception");
    }
    assert_eq!(cycle(&rdd), None, "in rdd");
}

#[test]
fn a_cycle_of_imports_is_found() {
    let imports = |list: &[(&str, &[&str])]| -> Imports {
        let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        list.iter().map(|(name, imported)| (name.to_string(), own(imported))).collect()
    };
    assert_eq!(cycle(&imports(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])), None);
    let found = cycle(&imports(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]));
    assert_eq!(found, Some(vec!["b".to_string(), "c".to_string()]));
    assert_eq!(
        paths("use crate::{a::{B, c}, d}; crate::e::f(); use crate::g;"),
        ["a", "d", "e", "g"]
    );
}

/// Returns true if a file is next to a folder of the same name, whose modules it would declare.
fn is_next_to_its_folder(root: &Path, file: &str) -> bool {
    // The folder of `ui.rs` has programs that do not compile, and no modules.
    root.join(file.trim_end_matches(".rs")).is_dir() && file != "tests/ui.rs"
}

#[test]
fn a_module_with_files_of_its_own_is_a_folder_with_a_mod_file() {
    for (name, _) in sources(&["core", "shuffle", "rdd", "src", "tests", "benches", "testkit"]) {
        let is_wrong = is_next_to_its_folder(&root(), &name);
        assert!(!is_wrong, "{name} is next to its folder: move it there as mod.rs");
    }
}

#[test]
fn a_file_next_to_its_folder_is_found() {
    assert!(is_next_to_its_folder(&root(), "tests/house_rules.rs"));
    assert!(!is_next_to_its_folder(&root(), "tests/house_rules/main.rs"));
}

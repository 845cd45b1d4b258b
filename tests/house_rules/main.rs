//! The rules of this project, checked on its sources and documents. A rule without a check decays.
//!
//! - `deadlines`: no test can hang.
//! - `operations`: the table of operations is complete.
//! - `promises`: the cases of `tests/PROMISES.md` and `tests/spark_cases.md` name existing tests.
//! - `structure`: imports have no cycle, and modules have one style.
//! - `words`: retired names and phrases do not return, and summaries begin with a verb.
//! - this file: layers, codec, disk access, unwraps, examples, and paths named by documents.

mod deadlines;
mod operations;
mod promises;
mod structure;
mod summaries;
mod tokens;
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

#[test]
fn every_file_begins_with_a_sentence_about_it() {
    let folders = ["core", "shuffle", "rdd", "src", "examples", "tests", "benches"];
    for (name, text) in sources(&folders) {
        let has_docs = text.starts_with("//!") || text.starts_with("#![");
        assert!(has_docs, "{name} has no module documentation");
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
            for line in code_lines(&text) {
                let wrong = above.iter().find(|upper| line.contains(**upper));
                assert!(wrong.is_none(), "{name} imports upwards: {line}");
            }
        }
    }
    for (crate_, above) in [("core", "emberline-"), ("shuffle", "emberline-rdd")] {
        let manifest = fs::read_to_string(root().join(crate_).join("Cargo.toml")).unwrap();
        let own = format!("name = \"emberline-{crate_}\"");
        let is_below = |line: &str| line == own || line.starts_with("emberline-testkit");
        let upwards = manifest.lines().find(|line| line.contains(above) && !is_below(line));
        assert_eq!(upwards, None, "{crate_}/Cargo.toml depends upwards");
    }
}

#[test]
fn jobs_are_run_by_actions_and_the_sample_of_a_sort_only() {
    for (name, text) in sources(&["rdd/src"]) {
        let runs = code_lines(&text).iter().any(|line| line.contains(".run_job("));
        assert!(!runs || name.starts_with("rdd/src/action/"), "{name} runs a job past the actions");
    }
}

#[test]
fn one_file_names_the_codec_and_one_folder_opens_scratch_files() {
    for (name, text) in sources(&["core/src", "shuffle/src", "rdd/src", "src"]) {
        for line in code_lines(&text) {
            let codec = !line.contains("bincode") || name == "core/src/codec.rs";
            assert!(codec, "{name} names bincode: {line}");
        }
    }
    for (name, text) in sources(&["shuffle/src"]) {
        for line in code_lines(&text).iter().filter(|_| !is_test_file(&name)) {
            assert!(!line.contains("std::fs"), "{name} passes the disk door: {line}");
        }
    }
}

#[test]
fn library_code_neither_unwraps_nor_leaves_work_undone() {
    for (name, text) in sources(&["core/src", "shuffle/src", "rdd/src", "src"]) {
        if is_test_file(&name) {
            continue;
        }
        for line in code_lines(&text) {
            for banned in [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "unsafe "] {
                assert!(!line.contains(banned), "{name} has {banned} in: {line}");
            }
        }
    }
}

/// A public method, with the documentation above it.
struct Method {
    place: String,
    name: String,
    docs: String,
}

/// Returns the public methods of the `impl` blocks whose first line `wanted` accepts.
fn methods(name: &str, text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Method> {
    let mut inside = false;
    let mut docs = String::new();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("impl") {
            inside = wanted(line);
        } else if line.starts_with('}') {
            inside = false;
        }
        let trimmed = line.trim();
        if let Some(doc) = trimmed.strip_prefix("///") {
            docs.push_str(doc);
            docs.push('\n');
        } else if let Some(method) = trimmed.strip_prefix("pub fn ") {
            if inside {
                let end = method.find(['(', '<']).unwrap_or(method.len());
                let place = format!("{name}:{}", number + 1);
                let docs = std::mem::take(&mut docs);
                found.push(Method { place, name: method[..end].to_string(), docs });
            }
        } else if !trimmed.starts_with("#[") {
            docs.clear();
        }
    }
    found
}

/// Returns every operation of a user: the methods of `Rdd` and its views, and the sources of
/// `Context`.
fn operations() -> Vec<Method> {
    let mut all = Vec::new();
    for (name, text) in sources(&["rdd/src"]) {
        let handles = ["> Rdd<", "> With<", "> Refs<", "> RefsWith<"];
        let of_rdd = |line: &str| handles.iter().any(|handle| line.contains(handle));
        let makes_rdds = name.contains("/source/") || name.contains("/narrow/");
        let of_source = |line: &str| makes_rdds && line.starts_with("impl Context");
        all.extend(methods(&name, &text, |line| of_rdd(line) || of_source(line)));
    }
    all.retain(|method| method.name != "context");
    all
}

#[test]
fn every_operation_has_a_summary_and_an_example_that_asserts() {
    let all = operations();
    assert!(all.len() > 50, "found only {} operations", all.len());
    for Method { place, name, docs } in all {
        assert!(!docs.trim().is_empty(), "{name} at {place} has no documentation");
        let examples = docs.split("# Examples").nth(1).unwrap_or("");
        let runs = examples.contains("```\n") && examples.contains("assert");
        assert!(runs, "{name} at {place} has no example that asserts");
    }
}

#[test]
fn every_operation_that_was_promised_exists() {
    let names: Vec<String> = operations().into_iter().map(|method| method.name).collect();
    let wide = [
        "combine_by_key",
        "reduce_by_key",
        "aggregate_by_key",
        "group_by_key",
        "group_by_key_iter",
    ];
    let wide = wide.into_iter().chain([
        "distinct",
        "cogroup",
        "cogroup_iter",
        "join",
        "sort_by",
        "sort_by_key",
    ]);
    for name in wide {
        assert!(names.contains(&name.to_string()), "{name} is missing");
    }
    let others = "parallelize range generate text_file map filter flat_map flat_map_into filter_map \
        map_partitions with_partitions map_values key_by union inspect try_map with partition_by repartition \
        collect count reduce fold aggregate take first top top_by_key bottom_by_key take_ordered for_each \
        count_by_value save_as_text_file cache unpersist explain evcxr_display name num_partitions boxed \
        keys values flat_map_values glom map_partitions_with_index zip zip_partitions sample \
        sample_with_replacement coalesce union try_filter try_flat_map fold_by_key \
        left_outer_join right_outer_join full_outer_join broadcast_join \
        broadcast_left_outer_join cogroup3 subtract subtract_by_key \
        intersection group_by group_sorted_by_key repartition_and_sort_within_partitions min max \
        persist checkpoint local_checkpoint sum stats count_by_key collect_as_map lookup is_empty for_each_partition to_local_iterator refs";
    for name in others.split_whitespace() {
        assert!(names.contains(&name.to_string()), "{name} is missing");
    }
}

#[test]
fn every_place_that_the_documents_name_exists() {
    let documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "shuffle/FORMAT.md"];
    let places: Vec<usize> = documents.iter().map(|document| check_paths(document)).collect();
    assert!(places[0] > 20, "ARCHITECTURE.md names only {} places", places[0]);
}

/// Checks the quoted paths of a document, and the function or type quoted after one.
fn check_paths(document: &str) -> usize {
    let (document, mut places) = (root().join(document), 0);
    let text = fs::read_to_string(&document).unwrap();
    let folder = document.parent().unwrap();
    let document = document.display();
    for quoted in text.split('`').skip(1).step_by(2) {
        let (path, function) = quoted.split_once(": ").unwrap_or((quoted, ""));
        let is_path = path.contains('/') && !path.contains(' ') && !path.contains('*');
        if !is_path {
            continue;
        }
        places += 1;
        assert!(folder.join(path).exists(), "{document} names {path}, which does not exist");
        if !function.is_empty() {
            let source = fs::read_to_string(folder.join(path)).unwrap();
            let defined = ["fn ", "struct ", "enum ", "trait "];
            let found = defined.iter().any(|kind| source.contains(&format!("{kind}{function}")));
            assert!(found, "{document} names {function} in {path}, which does not define it");
        }
    }
    places
}

#[test]
fn no_program_of_the_tutorial_hides_a_line() {
    let text = fs::read_to_string(root().join("src/guide/tutorial.rs")).unwrap();
    let mut programs = 0;
    let mut inside = false;
    for line in text.lines().filter_map(|line| line.strip_prefix("//!")) {
        let line = line.trim();
        if line.starts_with("```") {
            inside = !inside;
            programs += usize::from(line == "```" && inside);
        }
        let hidden = inside && (line == "#" || line.starts_with("# "));
        assert!(!hidden, "the tutorial hides `{line}`, but its programs are whole");
    }
    assert!(programs >= 8, "found only {programs} programs");
}

#[test]
fn examples_have_no_more_lines_than_their_table_says() {
    let table = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let said: Vec<(String, usize)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (format!("examples/{}.rs", cells[0].trim_end_matches('`')), cells[2].parse().unwrap())
        })
        .collect();
    let programs = sources(&["examples"]);
    assert_eq!(said.len(), programs.len(), "the table has a row for each example");
    for (name, text) in programs {
        let (_, most) =
            said.iter().find(|(said, _)| *said == name).expect("a row for each example");
        let mut is_import = false;
        let is_counted = |line: &&&str| {
            is_import |= line.starts_with("use ");
            let counted = !is_import;
            is_import &= !line.ends_with(';');
            counted
        };
        let lines = code_lines(&text).iter().filter(is_counted).count();
        assert!(lines <= *most, "{name} has {lines} lines, examples/README.md says {most}");
    }
}

#[test]
fn what_the_guide_for_sparks_users_calls_missing_is() {
    let text = fs::read_to_string(root().join("docs/coming-from-spark.md")).unwrap();
    let list = text.split("### Not here yet").nth(1).unwrap().split("## ").next().unwrap();
    let names: Vec<String> = operations().into_iter().map(|method| method.name).collect();
    let mut missing = 0;
    // A name that is followed by ` of ...` is missing only in part.
    let quoted = list.split('`').skip(1).step_by(2).zip(list.split('`').skip(2).step_by(2));
    for (spark, _) in quoted.filter(|(_, behind)| !behind.starts_with(" of ")) {
        let snake = spark.chars().fold(String::new(), |mut snake, c| {
            snake.extend(c.is_uppercase().then_some('_'));
            snake.extend(c.to_lowercase());
            snake
        });
        assert!(!names.contains(&snake), "{spark} is there as {snake}");
        missing += 1;
    }
    assert!(missing > 20, "the list names only {missing}");
}

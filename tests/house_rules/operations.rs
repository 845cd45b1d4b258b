//! The operations of users: those that were promised exist, each is documented with an example, and the table
//! of `guide::operations` has a row for each.

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

/// The types whose methods are operations, with their operations. A new one is added here; none is removed
/// without a new major version.
const PROMISED: [(&str, &str); 6] = [
    (
        "Context",
        "\
         generate parallelize parallelize_with range range_with read_checkpoint text_file \
         text_file_with union",
    ),
    (
        "Rdd",
        "\
         aggregate aggregate_by_key bottom_by_key boxed broadcast_join \
         broadcast_left_outer_join cache checkpoint coalesce cogroup cogroup3 cogroup_iter \
         collect collect_as_map combine_by_key context count count_by_key count_by_value \
         distinct evcxr_display explain filter filter_map first flat_map flat_map_into \
         flat_map_values fold fold_by_key for_each for_each_partition full_outer_join glom \
         group_by group_by_key group_by_key_iter group_sorted_by_key id inspect intersection \
         is_empty join key_by keys left_outer_join local_checkpoint lookup map map_partitions \
         map_partitions_with_index map_values max max_by_key min min_by_key name num_partitions \
         partition_by persist reduce reduce_by_key refs repartition \
         repartition_and_sort_within_partitions right_outer_join sample sample_with_replacement \
         save_as_text_file set_name sort_by sort_by_key sort_pairs stats subtract \
         subtract_by_key sum take take_ordered to_local_iterator top top_by_key try_filter \
         try_flat_map try_map union unpersist values with with_partitions zip zip_partitions",
    ),
    (
        "Refs",
        "\
         filter filter_map flat_map map with",
    ),
    (
        "RefsWith",
        "\
         filter filter_map flat_map map",
    ),
    (
        "With",
        "\
         filter filter_map flat_map map",
    ),
    (
        "WithPartitions",
        "\
         aggregate_by_key cogroup cogroup3 cogroup_iter combine_by_key distinct fold_by_key \
         full_outer_join group_by group_by_key group_by_key_iter group_sorted_by_key \
         intersection join left_outer_join reduce_by_key right_outer_join sort_by sort_by_key \
         sort_pairs subtract subtract_by_key",
    ),
];

/// The views, whose methods have the names and the meaning of those of `Rdd`, which has the examples.
const VIEWS: [&str; 4] = ["Refs", "RefsWith", "With", "WithPartitions"];

/// Operations without an example of their own.
const EXAMPLES_OF_THE_TYPE: [&str; 1] = ["context"];

/// The view whose methods get their documentation from a macro.
const DOCUMENTED_BY_MACRO: &str = "WithPartitions";

/// The beginning of a line that defines the methods of a view by the macro for all of them.
const VIEW_MACRO: &str = "view_operations!(";

/// Columns of a row of the table.
const COLUMNS: usize = 7;

/// A public method, with the documentation above it.
pub struct Method {
    /// The type that has it.
    owner: String,
    pub name: String,
    docs: String,
    /// Its file and line.
    position: String,
}

/// Returns the name at the start of a text.
fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    &text[..end.unwrap_or(text.len())]
}

/// Returns the name of the type that the header of an `impl` block implements.
pub fn owner(header: &str) -> &str {
    let implemented = header.rsplit(" for ").next().unwrap_or(header);
    let name = implemented.trim_start().trim_start_matches("impl").trim_start();
    let name = name.strip_prefix('<').map_or(name, after_generics);
    first_name(name.trim_start())
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

/// Returns the public methods in the `impl` blocks of a file, also of those in macros. A method of `$View` is one
/// of every view for which the file calls the macro.
fn methods(file: &str, text: &str) -> Vec<Method> {
    let views = text.lines().filter_map(|line| line.strip_prefix(VIEW_MACRO));
    let views: Vec<&str> = views.map(first_name).collect();
    let lines: Vec<&str> = text.lines().take_while(|line| *line != "mod tests {").collect();
    let mut block: Option<(&str, String)> = None;
    let mut docs = String::new();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let indentation = &line[..line.len() - trimmed.len()];
        if let Some(doc) = trimmed.strip_prefix("///") {
            docs.push_str(doc);
            docs.push('\n');
            continue;
        }
        if trimmed.starts_with("impl<") || trimmed.starts_with("impl ") {
            let header = lines[number..].iter().take_while(|line| **line != "}");
            let header = header.copied().collect::<Vec<_>>().join(" ");
            let owner = owner(&header[..header.find('{').unwrap_or(header.len())]);
            block = Some((indentation, owner.to_string()));
        } else if trimmed == "}" && block.as_ref().is_some_and(|(start, _)| *start == indentation) {
            block = None;
        }
        if let Some((rest, (_, owner))) = trimmed.strip_prefix("pub fn ").zip(block.as_ref()) {
            let owners = if owner == "$View" { views.clone() } else { vec![owner.as_str()] };
            found.extend(owners.into_iter().map(|owner| Method {
                owner: owner.to_string(),
                name: first_name(rest).to_string(),
                docs: docs.clone(),
                position: format!("{file}:{}", number + 1),
            }));
        }
        if !trimmed.starts_with("#[") {
            docs.clear();
        }
    }
    found
}

/// Returns every operation of users.
pub fn operations() -> Vec<Method> {
    let files = sources(&["rdd/src"]);
    let files = files.iter().filter(|(name, _)| {
        OPERATIONS.iter().any(|folder| name.starts_with(folder)) && !is_test_file(name)
    });
    let mut all: Vec<Method> = files.flat_map(|(name, text)| methods(name, text)).collect();
    all.retain(|method| PROMISED.iter().any(|(owner, _)| *owner == method.owner));
    all
}

/// Returns the operations that were promised and are missing, and those that exist and are not listed.
fn differences(promised: &[(&str, &str)], methods: &[Method]) -> Vec<String> {
    let mut found = Vec::new();
    for (owner, names) in promised {
        let promised: BTreeSet<&str> = names.split_whitespace().collect();
        let of_owner = methods.iter().filter(|method| method.owner == *owner);
        let exist: BTreeSet<&str> = of_owner.map(|method| method.name.as_str()).collect();
        let missing = promised.difference(&exist);
        found.extend(missing.map(|name| format!("{owner}::{name} is missing")));
        let unlisted = exist.difference(&promised);
        found.extend(unlisted.map(|name| format!("{owner}::{name} is not in PROMISED")));
    }
    found
}

/// Returns the methods of views that `Rdd` does not have.
fn without_original(methods: &[Method]) -> Vec<String> {
    let is_of_rdd = |name: &str| methods.iter().any(|it| it.owner == "Rdd" && it.name == name);
    let of_views = methods.iter().filter(|method| VIEWS.contains(&method.owner.as_str()));
    let wrong = of_views.filter(|method| !is_of_rdd(&method.name));
    wrong.map(|method| format!("{}::{}", method.owner, method.name)).collect()
}

/// Returns the operations without a summary, and those of `Context` and `Rdd` without an example that asserts.
fn undocumented(methods: &[Method]) -> Vec<String> {
    let is_documented = |method: &Method| {
        let example = method.docs.split("# Examples").nth(1).unwrap_or("");
        let runs = example.contains("```\n") && example.contains("assert");
        let is_query = EXAMPLES_OF_THE_TYPE.contains(&method.name.as_str());
        let needs_example = !VIEWS.contains(&method.owner.as_str()) && !is_query;
        let has_summary = !method.docs.trim().is_empty() || method.owner == DOCUMENTED_BY_MACRO;
        has_summary && (runs || !needs_example)
    };
    let wrong = methods.iter().filter(|method| !is_documented(method));
    wrong.map(|method| format!("{}: {}::{}", method.position, method.owner, method.name)).collect()
}

/// Returns the names in the first column of the tables of a page, and what is wrong with their rows.
fn table(page: &str) -> (BTreeSet<String>, Vec<String>) {
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("//! | [`")) {
        let name = line.trim_start_matches("//! | [`").split('`').next().unwrap_or("");
        names.insert(name.to_string());
        let cells: Vec<&str> = line.trim_start_matches("//! ").split('|').map(str::trim).collect();
        // A row begins and ends with a bar.
        if cells.len() != COLUMNS + 2 {
            wrong.push(format!("{name}: {} cells of {COLUMNS}", cells.len().saturating_sub(2)));
        } else if cells[1..=COLUMNS].contains(&"") {
            wrong.push(format!("{name}: an empty cell; a dash is the default"));
        }
    }
    (names, wrong)
}

#[test]
fn the_operations_are_those_that_were_promised() {
    assert_eq!(differences(&PROMISED, &operations()), [""; 0]);
}

#[test]
fn every_method_of_a_view_is_one_of_rdd() {
    assert_eq!(without_original(&operations()), [""; 0]);
}

#[test]
fn every_operation_has_a_summary_and_an_example_that_asserts() {
    assert_eq!(undocumented(&operations()), [""; 0]);
}

#[test]
fn the_table_of_operations_is_complete() {
    let page = fs::read_to_string(root().join("src/guide/operations.rs")).unwrap();
    let (documented, wrong) = table(&page);
    assert_eq!(wrong, [""; 0]);
    let defined: BTreeSet<String> = operations().into_iter().map(|method| method.name).collect();
    let missing: Vec<&String> = defined.difference(&documented).collect();
    assert!(missing.is_empty(), "operations without a row in guide::operations: {missing:?}");
    let unknown: Vec<&String> = documented.difference(&defined).collect();
    assert!(unknown.is_empty(), "rows of guide::operations without an operation: {unknown:?}");
}

/// Operations with mistakes: `map` has no example, `With::zip` no original, and `Refs` and `With` no `sort`.
const SAMPLE: &str = "\
macro_rules! view_operations {
    () => {
        impl<T, $($V,)? P> $View<T, $($V,)? P>
        where
            T: Fn() -> u8,
        {
            /// Zips.
            pub fn zip<F>(&self) {}
        }
    };
}
view_operations!(With[V]);
view_operations!(Refs[]);
impl<T> Rdd<T> {
    /// Maps.
    pub fn map(&self) {}
    pub fn reduce(&self) {}
}
impl Other {
    pub fn other(&self) {}
}
mod tests {
    impl<T> Rdd<T> {
        pub fn test(&self) {}
    }
";

#[test]
fn missing_unlisted_and_undocumented_operations_are_found() {
    let methods = methods("a.rs", SAMPLE);
    let promised = [("Rdd", "map sort"), ("With", "zip"), ("Refs", "zip sort")];
    assert_eq!(
        differences(&promised, &methods),
        ["Rdd::sort is missing", "Rdd::reduce is not in PROMISED", "Refs::sort is missing"]
    );
    assert_eq!(without_original(&methods), ["With::zip", "Refs::zip"]);
    let of_rdd: Vec<Method> = methods.into_iter().filter(|method| method.owner == "Rdd").collect();
    assert_eq!(undocumented(&of_rdd), ["a.rs:16: Rdd::map", "a.rs:17: Rdd::reduce"]);
}

#[test]
fn rows_with_empty_or_missing_cells_are_found() {
    let row =
        |cells: [&str; 6]| format!("//! | [`map`](crate::Rdd::map) | {} |\n", cells.join(" | "));
    let complete = row(["`T` to `U`", "—", "—", "—", "—", "—"]);
    assert_eq!(table(&complete), (BTreeSet::from(["map".to_string()]), vec![]));
    let empty = row(["`T` to `U`", "—", "", "—", "—", "—"]);
    assert_eq!(table(&empty).1, ["map: an empty cell; a dash is the default"]);
    assert_eq!(table(&empty.replace("|  ", "||")).1.len(), 1, "also without blanks");
    assert_eq!(table("//! | [`map`](crate::Rdd::map) | — |\n").1, ["map: 2 cells of 7"]);
}

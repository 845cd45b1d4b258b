//! The examples as the README runs them.

use super::LIMIT;
use emberline::prelude::*;
use std::process::Command;
use testkit::deadline;

/// The name of each example, and the last line that it prints without arguments.
const LAST_LINES: [(&str, &str); 11] = [
    ("flights", "makers=19 flights=2199 delay=20923 windy=380"),
    ("inverted_index", "words=10978 postings=58787"),
    ("k_means", "rounds=24 cost=19.306697"),
    ("log_mining", "errors=288 mysql=133 hdfs=133"),
    ("logistic_regression", "weights=[0.387, 3.570, -0.483] points=2659 right=1828"),
    ("lost_partition", "rerun_tasks=1 answer=same"),
    ("monte_carlo_pi", "darts=10000000 inside=7853404 pi=3.141362"),
    ("page_rank", "pages=1292 sum=468.361228"),
    ("secondary_sort", "planes=1347 flights=2677"),
    ("transitive_closure", "edges=6273 paths=27216"),
    ("word_count", "distinct=10978 total=61617"),
];

#[test]
fn each_example_runs_without_an_argument_and_prints_its_answer() -> Result<(), BoxError> {
    let _deadline = deadline(LIMIT);
    let listed = LAST_LINES.map(|(name, _)| format!("{name}.rs"));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let names = std::fs::read_dir(folder)?.map(|entry| entry.unwrap().file_name());
    let programs = names.filter(|name| name.to_string_lossy().ends_with(".rs"));
    let mut programs: Vec<String> = programs.map(|name| name.into_string().unwrap()).collect();
    programs.sort();
    assert_eq!(programs, listed, "every example is listed here");
    build_examples()?;
    let target = std::env::current_exe()?.ancestors().nth(2).unwrap().join("examples");
    for (name, last_line) in LAST_LINES {
        let program = target.join(name).with_extension(std::env::consts::EXE_EXTENSION);
        let run = Command::new(&program).output()?;
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        let printed = String::from_utf8(run.stdout)?;
        assert_eq!(printed.lines().last(), Some(last_line), "{name} printed:\n{printed}");
    }
    Ok(())
}

/// Builds the examples, which `cargo test --test` alone does not.
fn build_examples() -> Result<(), BoxError> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--examples", "--locked", "--quiet"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    assert!(built.status.success(), "no examples: {}", String::from_utf8_lossy(&built.stderr));
    Ok(())
}

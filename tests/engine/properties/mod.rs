//! Random programs against a model in plain Rust: any chain of operations returns the documented rows, in
//! the documented order and partitions, independently of threads and of spilling.

mod asked;
mod pairs;
mod rows;

use crate::model::{Action, Known, Operation, PairOperation, Parts};
use crate::support::{glom, grid_cells_with, noise};
use asked::run_action;
use emberline::prelude::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use rows::run_step;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, within};

/// A program: rows, their number of partitions, operations and an action.
#[derive(Clone, Debug)]
struct Program {
    rows: Vec<i64>,
    partitions: usize,
    operations: Vec<Operation>,
    action: Action,
}

/// Returns the number of partitions, if the program specifies it.
fn given() -> impl Strategy<Value = Option<usize>> {
    prop::option::of(1_usize..6)
}

fn operation() -> impl Strategy<Value = Operation> {
    let n = || 1_i64..12;
    let narrow = prop_oneof![
        n().prop_map(Operation::Map),
        n().prop_map(Operation::Filter),
        n().prop_map(Operation::FilterMap),
        (0_i64..4).prop_map(Operation::FlatMap),
        (0_i64..4).prop_map(Operation::FlatMapInto),
        n().prop_map(Operation::TryMap),
        n().prop_map(Operation::TryFilter),
        (0_i64..4).prop_map(Operation::TryFlatMap),
        n().prop_map(Operation::With),
        n().prop_map(Operation::Refs),
        n().prop_map(Operation::RefsWith),
        n().prop_map(Operation::Fused),
        Just(Operation::Inspect),
    ];
    let of_partitions = prop_oneof![
        Just(Operation::MapPartitions),
        Just(Operation::AddIndex),
        Just(Operation::GlomFlat),
        Just(Operation::GlomPrints),
        n().prop_map(Operation::ZipSelf),
        n().prop_map(Operation::ZipPartitions),
        any::<u64>().prop_map(Operation::SplitBySample),
        (1_usize..7).prop_map(Operation::Coalesce),
        Just(Operation::UnionSelf),
        Just(Operation::UnionAll),
        Just(Operation::Cache),
    ];
    let wide = prop_oneof![
        given().prop_map(Operation::Distinct),
        (n(), given()).prop_map(|(by, given)| Operation::Subtract(by, given)),
        (n(), given()).prop_map(|(by, given)| Operation::Intersection(by, given)),
        (n(), given()).prop_map(|(by, given)| Operation::GroupBy(by, given)),
        (1_usize..9).prop_map(Operation::Repartition),
        (1_usize..9).prop_map(Operation::RepartitionNumbered),
        given().prop_map(Operation::SortAll),
        Just(Operation::SortDownByCmp),
        n().prop_map(Operation::SortBy),
    ];
    let pairs = (n(), prop::collection::vec(pair_step(), 0..6));
    prop_oneof![
        4 => narrow,
        3 => of_partitions,
        3 => wide,
        4 => pairs.prop_map(|(n, operations)| Operation::Pairs(n, operations)),
    ]
}

fn pair_step() -> impl Strategy<Value = PairOperation> {
    let n = || 1_i64..9;
    let narrow = prop_oneof![
        n().prop_map(PairOperation::MapValues),
        (0_i64..4).prop_map(PairOperation::FlatMapValues),
        (2_i64..9).prop_map(PairOperation::Filter),
        (2_i64..9).prop_map(PairOperation::TryFilter),
        any::<u64>().prop_map(PairOperation::SampleAll),
        Just(PairOperation::KeysZipValues),
        (1_usize..5).prop_map(PairOperation::Coalesce),
        Just(PairOperation::UnionSelf),
        (1_usize..6).prop_map(PairOperation::UnionAll),
        Just(PairOperation::Cache),
        n().prop_map(PairOperation::Rekey),
    ];
    let placing = prop_oneof![
        (1_usize..6).prop_map(PairOperation::PartitionBy),
        (1_usize..6).prop_map(PairOperation::PlaceBy),
        (1_usize..6).prop_map(PairOperation::SortByKey),
        (1_usize..6).prop_map(PairOperation::RepartitionAndSort),
    ];
    let keyed = prop_oneof![
        given().prop_map(PairOperation::Reduce),
        Just(PairOperation::ReduceToFirst),
        Just(PairOperation::Aggregate),
        given().prop_map(PairOperation::Fold),
        Just(PairOperation::GroupSum),
        Just(PairOperation::GroupFlatten),
        (n(), given()).prop_map(|(by, given)| PairOperation::GroupSorted(by, given)),
        n().prop_map(PairOperation::Subtract),
        n().prop_map(PairOperation::Intersection),
        Just(PairOperation::Distinct),
    ];
    let joined = prop_oneof![
        Just(PairOperation::JoinSelf),
        given().prop_map(PairOperation::JoinReduced),
        (n(), given()).prop_map(|(by, given)| PairOperation::LeftOuterJoin(by, given)),
        (n(), given()).prop_map(|(by, given)| PairOperation::RightOuterJoin(by, given)),
        (n(), given()).prop_map(|(by, given)| PairOperation::FullOuterJoin(by, given)),
        n().prop_map(PairOperation::BroadcastJoin),
        n().prop_map(PairOperation::BroadcastLeftOuterJoin),
        Just(PairOperation::CogroupSizes),
        (n(), given()).prop_map(|(by, given)| PairOperation::Cogrouped(by, given)),
        (n(), given()).prop_map(|(by, given)| PairOperation::Cogroup3(by, given)),
        (n(), given()).prop_map(|(by, given)| PairOperation::SubtractByKey(by, given)),
    ];
    prop_oneof![narrow, placing, keyed, joined]
}

fn action() -> impl Strategy<Value = Action> {
    let of_any_order = prop::sample::select(vec![
        Action::Count,
        Action::Reduce,
        Action::Fold,
        Action::Sum,
        Action::Min,
        Action::Max,
        Action::Stats,
        Action::IsEmpty,
        Action::CountByValue,
        Action::CountByKey,
    ]);
    let rows = prop::sample::select(vec![
        Action::LocalIterator,
        Action::Aggregate,
        Action::Accumulate,
        Action::First,
        Action::CollectAsMap,
        Action::ForEachPartition,
    ]);
    let some = || 0_usize..90;
    let percent = || prop::sample::select(vec![0_u8, 30, 100]);
    let chosen = prop_oneof![
        some().prop_map(Action::Take),
        some().prop_map(Action::Top),
        some().prop_map(Action::TakeOrdered),
        (-3_i64..8, given()).prop_map(|(key, given)| Action::Lookup(key, given)),
        (percent(), any::<u64>()).prop_map(|(percent, seed)| Action::Sample(percent, seed)),
        (percent(), any::<u64>()).prop_map(|(percent, seed)| Action::Draw(percent, seed)),
    ];
    prop_oneof![3 => Just(Action::Collect), 3 => of_any_order, 3 => rows, 3 => chosen]
}

fn program() -> impl Strategy<Value = Program> {
    let row = prop_oneof![4 => -20_i64..20, 1 => any::<i64>(), 1 => Just(7)];
    let rows = prop_oneof![
        3 => prop::collection::vec(row, 0..60),
        1 => (0_u64..900).prop_map(|n| (0..n).map(|n| noise(n) as i64 % 97).collect()),
    ];
    let operations = prop::collection::vec(operation(), 0..8);
    (rows, 1_usize..9, operations, action()).prop_map(|(rows, partitions, operations, action)| {
        Program { rows, partitions, operations, action }
    })
}

/// Runs a program in every cell, twice, and compares it with the model.
fn check_program(cells: &[(String, Context)], program: Program) -> Result<(), TestCaseError> {
    let Program { rows, partitions, operations, action } = program;
    let mut model = Parts::cut(&rows, partitions);
    let operations: Vec<Operation> =
        operations.iter().filter_map(|operation| model.apply(operation)).collect();
    let expected = model.answer(action);
    let mut answers = Vec::new();
    for (cell, ctx) in cells {
        let failed = |error| TestCaseError::fail(format!("{cell}: {error}; did {operations:?}"));
        let source = ctx.parallelize_with(partitions, rows.clone()).boxed();
        let rdd = operations.iter().fold(source, |rdd, operation| run_step(operation, &rdd));
        if answers.is_empty() {
            check_partitions(&model, &operations, &rdd)?;
        }
        for _ in 0..2 {
            answers.push((cell, run_action(action, &rdd).map_err(failed)?));
        }
    }
    let (cell, first) = &answers[0];
    prop_assert!(
        expected.accepts(first),
        "{} {:?}, not {:?}; did {:?}",
        cell,
        first,
        expected,
        operations
    );
    for (other, answer) in &answers[1..] {
        prop_assert_eq!(answer, first, "{} and {} differ; did {:?}", other, cell, operations);
    }
    Ok(())
}

/// Checks that the partitions and their rows are those that the documentation promises.
fn check_partitions(
    model: &Parts<i64>,
    did: &[Operation],
    rdd: &Rdd<i64>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(rdd.num_partitions(), model.partitions(), "did {:?}", did);
    if model.known == Known::Partitions {
        let parts = glom(rdd).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(&parts, &model.parts, "did {:?}", did);
    }
    Ok(())
}

#[test]
fn random_programs_equal_their_model_on_any_threads_in_memory_and_spilled() {
    within(2 * DEADLINE, || {
        let config = Config::with_source_file(file!());
        // Lists of one key get no longer than this in these programs.
        let cells = grid_cells_with(|builder| builder.task_memory_bytes(32 << 10));
        let checked =
            TestRunner::new(config).run(&program(), |program| check_program(&cells, program));
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// Checks that rows counted before a cache, and an operation that fails some of its first calls,
/// count each row once in any program.
fn check_counts(cells: &[(String, Context)], program: Program) -> Result<(), TestCaseError> {
    let Program { rows, partitions, operations, .. } = program;
    let mut model = Parts::cut(&rows, partitions);
    let operations: Vec<Operation> =
        operations.iter().filter_map(|operation| model.apply(operation)).collect();
    for (cell, ctx) in cells {
        let counts: [Accumulator<u64>; 2] = std::array::from_fn(|_| ctx.accumulator(0));
        let [before, shuffled] = counts.clone();
        let calls = AtomicUsize::new(0);
        let source = ctx.parallelize_with(partitions, rows.clone());
        let cached = source.inspect(move |_| before.add(1)).cache().map(move |n| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            if call % 20 == 7 && call < 60 {
                resume_unwind(Box::new("one of the first calls"));
            }
            n
        });
        let counted = cached.inspect(move |_| shuffled.add(1)).repartition(3);
        let rdd = operations.iter().fold(counted, |rdd, operation| run_step(operation, &rdd));
        for _ in 0..2 {
            rdd.collect().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let counts = counts.each_ref().map(Accumulator::value);
            prop_assert_eq!(counts, [rows.len() as u64; 2], "{}; did {:?}", cell, operations);
        }
    }
    Ok(())
}

#[test]
fn accumulators_before_random_programs_count_each_row_once() {
    within(2 * DEADLINE, || {
        let config = Config { cases: 64, ..Config::with_source_file(file!()) };
        let cells = grid_cells_with(|builder| builder.max_attempts(6).task_memory_bytes(32 << 10));
        let checked =
            TestRunner::new(config).run(&program(), |program| check_counts(&cells, program));
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

/// The number of programs from which the coverage is counted.
const PROGRAMS: u32 = 256;

/// Returns the name of an operation without its numbers.
fn name(what: &impl Debug) -> String {
    format!("{what:?}").split('(').next().unwrap_or_default().to_string()
}

/// Returns the names of operations, with those on pairs marked.
fn names(operations: &[Operation]) -> BTreeSet<String> {
    let of_pairs = |operation: &Operation| match operation {
        Operation::Pairs(_, operations) => {
            operations.iter().map(|operation| format!("on pairs: {}", name(operation))).collect()
        }
        _ => Vec::new(),
    };
    operations
        .iter()
        .flat_map(|operation| [vec![name(operation)], of_pairs(operation)].concat())
        .collect()
}

#[test]
fn random_programs_cover_every_operation_and_mostly_have_partitioners() {
    let mut runner = TestRunner::deterministic();
    let mut wanted = BTreeSet::new();
    let mut done = BTreeSet::new();
    let mut ordered = 0;
    let mut placed = 0;
    for _ in 0..PROGRAMS {
        let program = program().new_tree(&mut runner).unwrap().current();
        let mut model = Parts::cut(&program.rows, program.partitions);
        let applied: Vec<Operation> =
            program.operations.iter().filter_map(|operation| model.apply(operation)).collect();
        wanted.append(&mut names(&program.operations));
        done.append(&mut names(&applied));
        ordered += u32::from(model.known >= Known::Order);
        placed += u32::from(model.known == Known::Partitions);
    }
    assert_eq!(done, wanted, "some are always left out");
    assert!(ordered > PROGRAMS / 2 && placed > PROGRAMS / 3, "{ordered} {placed} of {PROGRAMS}");
}

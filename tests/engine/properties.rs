//! Random programs against a model in plain Rust: rows that go through any chain of operations end as
//! the documentation of each says, in exactly its order where it promises one; and neither threads
//! nor the way map outputs go change a row.

use crate::model::{Action, Model, PairStep, Step, copies, halved, sum};
use crate::support::{DEADLINE, noise, places, within};
use emberline::Partitioner;
use emberline::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A program: rows, in how many partitions, what is done to them, what is asked.
#[derive(Clone, Debug)]
struct Program {
    rows: Vec<i64>,
    partitions: usize,
    steps: Vec<Step>,
    action: Action,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 1_i64..12;
    let parts = || prop::option::of(1_usize..6);
    prop_oneof![
        2 => n().prop_map(Step::Map),
        1 => n().prop_map(Step::Filter),
        1 => n().prop_map(Step::FilterMap),
        1 => (0_i64..4).prop_map(Step::FlatMap),
        1 => (0_i64..4).prop_map(Step::FlatMapInto),
        1 => n().prop_map(Step::TryMap),
        1 => n().prop_map(Step::With),
        1 => Just(Step::MapPartitions),
        1 => n().prop_map(Step::Fused),
        2 => Just(Step::UnionSelf),
        2 => parts().prop_map(Step::Distinct),
        2 => (1_usize..9).prop_map(Step::Repartition),
        2 => parts().prop_map(Step::SortAll),
        1 => Just(Step::SortDownByCmp),
        2 => n().prop_map(Step::SortBy),
        2 => Just(Step::Cache),
        1 => Just(Step::Inspect),
        6 => (n(), prop::collection::vec(pair_step(), 0..6)).prop_map(|(n, s)| Step::Pairs(n, s)),
    ]
}

fn pair_step() -> impl Strategy<Value = PairStep> {
    let parts = || prop::option::of(1_usize..6);
    prop_oneof![
        (1_usize..6).prop_map(PairStep::PartitionBy),
        (1_usize..6).prop_map(PairStep::PlaceBy),
        (1_i64..9).prop_map(PairStep::MapValues),
        (2_i64..9).prop_map(PairStep::Filter),
        parts().prop_map(PairStep::Reduce),
        Just(PairStep::Aggregate),
        Just(PairStep::GroupSum),
        Just(PairStep::GroupFlatten),
        Just(PairStep::JoinSelf),
        parts().prop_map(PairStep::JoinReduced),
        Just(PairStep::CogroupSizes),
        Just(PairStep::UnionSelf),
        Just(PairStep::Distinct),
        (1_usize..6).prop_map(PairStep::SortByKey),
        Just(PairStep::Cache),
        (1_i64..9).prop_map(PairStep::Rekey),
    ]
}

fn program() -> impl Strategy<Value = Program> {
    let row = prop_oneof![4 => -20_i64..20, 1 => any::<i64>(), 1 => Just(7)];
    let rows = prop_oneof![
        3 => prop::collection::vec(row, 0..60),
        1 => (0_u64..900).prop_map(|n| (0..n).map(|n| noise(n) as i64 % 97).collect()),
    ];
    let action = prop_oneof![
        6 => Just(Action::Collect),
        1 => Just(Action::Count),
        1 => Just(Action::Reduce),
        1 => Just(Action::Fold),
        2 => (0_usize..90).prop_map(Action::Take),
        1 => (0_usize..90).prop_map(Action::Top),
        1 => (0_usize..90).prop_map(Action::TakeOrdered),
        1 => Just(Action::CountByValue),
    ];
    let steps = prop::collection::vec(step(), 0..8);
    (rows, 1_usize..9, steps, action).prop_map(|(rows, partitions, steps, action)| Program {
        rows,
        partitions,
        steps,
        action,
    })
}

/// A partitioner of the user: equal numbers of partitions are the same.
struct ByRemainder(usize);

impl Partitioner<i64> for ByRemainder {
    fn partitions(&self) -> usize {
        self.0
    }

    fn partition_of(&self, key: &i64) -> usize {
        key.rem_euclid(self.0 as i64) as usize
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0)
    }
}

fn run_step(step: &Step, rdd: &Rdd<i64>) -> Rdd<i64> {
    match step.clone() {
        Step::Map(by) => rdd.map(move |n| n.wrapping_add(by)).boxed(),
        Step::TryMap(by) => rdd.try_map(move |n| Ok(n.wrapping_add(by))).boxed(),
        Step::With(by) => rdd.with(by).map(|by, n| n.wrapping_add(*by)).boxed(),
        Step::Filter(by) => rdd.filter(move |n| n % by != 0).boxed(),
        Step::FilterMap(by) => rdd.filter_map(move |n| halved(n, by)).boxed(),
        Step::FlatMap(most) => rdd.flat_map(move |n| copies(n, most)).boxed(),
        Step::FlatMapInto(most) => {
            rdd.flat_map_into(move |n, out| out.extend(copies(n, most))).boxed()
        }
        Step::Fused(by) => {
            rdd.map(move |n| n ^ by).filter(|n| n % 3 != 0).flat_map(|n| copies(n, 1)).boxed()
        }
        Step::MapPartitions => rdd.map_partitions(|rows| rows).boxed(),
        Step::UnionSelf => rdd.union(rdd).boxed(),
        Step::Distinct(None) => rdd.distinct(),
        Step::Distinct(Some(partitions)) => rdd.distinct_with(partitions),
        Step::Repartition(partitions) => rdd.repartition(partitions),
        Step::SortAll(None) => rdd.sort_by(|n| *n),
        Step::SortAll(Some(partitions)) => rdd.sort_by_with(partitions, |n| *n),
        Step::SortDownByCmp => rdd.sort_by_cmp(|a, b| Reverse(a).cmp(&Reverse(b))),
        Step::SortBy(by) => rdd.sort_by(move |n| n.rem_euclid(by)),
        Step::Cache => rdd.cache(),
        Step::Inspect => rdd.inspect(|_| ()).boxed(),
        Step::Pairs(by, steps) => {
            let pairs = rdd.key_by(move |n| n % by).boxed();
            let pairs = steps.iter().fold(pairs, |pairs, step| run_pair_step(step, &pairs));
            pairs.map(|(key, n)| n.wrapping_add(key)).boxed()
        }
    }
}

fn run_pair_step(step: &PairStep, rdd: &Rdd<(i64, i64)>) -> Rdd<(i64, i64)> {
    match *step {
        PairStep::PartitionBy(partitions) => rdd.partition_by(partitions),
        PairStep::PlaceBy(partitions) => rdd.partition_by(Arc::new(ByRemainder(partitions))),
        PairStep::MapValues(by) => rdd.map_values(move |n| n.wrapping_add(by)).boxed(),
        PairStep::Filter(by) => rdd.filter(move |(key, n)| (key ^ n) % by != 0).boxed(),
        PairStep::Reduce(None) => rdd.reduce_by_key(i64::wrapping_add),
        PairStep::Reduce(Some(partitions)) => rdd.reduce_by_key_with(partitions, i64::wrapping_add),
        PairStep::Aggregate => rdd.aggregate_by_key(i64::MIN, i64::max, i64::max),
        PairStep::GroupSum => rdd.group_by_key().map_values(|all| sum(&all)).boxed(),
        PairStep::GroupFlatten => {
            rdd.grouped().flat_map(|(key, group)| group.into_iter().map(move |n| (key, n))).boxed()
        }
        PairStep::JoinSelf => rdd.join(rdd).map_values(|(n, m)| n ^ m).boxed(),
        PairStep::JoinReduced(None) => {
            rdd.join(&rdd.reduce_by_key(i64::wrapping_add)).map_values(|(n, m)| n ^ m).boxed()
        }
        PairStep::JoinReduced(Some(partitions)) => {
            let sums = rdd.reduce_by_key_with(partitions, i64::wrapping_add);
            sums.join(rdd).map_values(|(n, m)| n ^ m).boxed()
        }
        PairStep::CogroupSizes => {
            let both = rdd.cogroup(&rdd.filter(|(_, n)| n % 2 != 0));
            both.map_values(|(all, odd)| all.len() as i64 * 10_000 + odd.len() as i64).boxed()
        }
        PairStep::UnionSelf => rdd.union(rdd).boxed(),
        PairStep::Distinct => rdd.distinct(),
        PairStep::SortByKey(partitions) => rdd.sort_by_key_with(partitions),
        PairStep::Cache => rdd.cache(),
        PairStep::Rekey(by) => rdd.map(move |(key, n)| (n % by, key)).boxed(),
    }
}

fn run_action(action: Action, rdd: &Rdd<i64>) -> Result<Vec<i64>> {
    match action {
        Action::Collect => rdd.collect(),
        Action::Count => Ok(vec![rdd.count()? as i64]),
        Action::Reduce => Ok(rdd.reduce(i64::wrapping_add)?.into_iter().collect()),
        Action::Fold => Ok(vec![rdd.fold(0, i64::wrapping_add)?]),
        Action::Take(n) => rdd.take(n),
        Action::Top(n) => rdd.top(n),
        Action::TakeOrdered(n) => rdd.take_ordered(n),
        Action::CountByValue => {
            let counts = BTreeMap::from_iter(rdd.count_by_value()?);
            Ok(counts.into_iter().flat_map(|(n, count)| [n, count as i64]).collect())
        }
    }
}

/// Runs a program in every place, twice, and holds it against the model.
fn check_program(places: &[(String, Context)], program: Program) -> Result<(), TestCaseError> {
    let Program { rows, partitions, steps, action } = program;
    let mut model = Model { rows: rows.clone(), ordered: true };
    let steps: Vec<Step> = steps.iter().filter_map(|step| model.apply(step)).collect();
    let expected = model.answer(action);
    let mut answers = Vec::new();
    for (place, ctx) in places {
        let source = ctx.parallelize_with(partitions, rows.clone()).boxed();
        let rdd = steps.iter().fold(source, |rdd, step| run_step(step, &rdd));
        for _ in 0..2 {
            let answer = run_action(action, &rdd);
            let answer =
                answer.map_err(|error| TestCaseError::fail(format!("{place}: {error}")))?;
            answers.push((place, answer));
        }
    }
    let (place, first) = &answers[0];
    prop_assert!(
        expected.accepts(first),
        "{} {:?}, not {:?}; did {:?}",
        place,
        first,
        expected,
        steps
    );
    for (other, answer) in &answers[1..] {
        prop_assert_eq!(answer, first, "{} and {} differ; did {:?}", other, place, steps);
    }
    Ok(())
}

#[test]
fn random_programs_equal_their_model_on_any_threads_in_memory_and_through_files() {
    within(2 * DEADLINE, || {
        let config = Config::with_source_file(file!());
        let places = places();
        let checked =
            TestRunner::new(config).run(&program(), |program| check_program(&places, program));
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

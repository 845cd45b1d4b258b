//! Iterators that continue after their end, and that claim a wrong size.

use super::{LEVELS, context, test};
use emberline::pipeline::Pipeline;
use emberline::prelude::*;
use emberline::{Result, StorageLevel};
use proptest::prelude::*;
use std::iter::FusedIterator;
use testkit::{DEADLINE, scaled, within};

/// The behaviour of an iterator that is pulled after its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AfterEnd {
    End,
    Resume,
    Endless,
    Panic,
}

/// The claim of an iterator about its size.
#[derive(Clone, Copy, Debug)]
enum Hint {
    Unknown,
    True,
    None,
    One,
    TooLarge,
    Max,
    ExactlyMax,
    Crossed,
    /// Right at first, then the largest number.
    Grows,
}

const AFTER: [AfterEnd; 4] = [AfterEnd::End, AfterEnd::Resume, AfterEnd::Endless, AfterEnd::Panic];
const HINTS: [Hint; 9] = [
    Hint::Unknown,
    Hint::True,
    Hint::None,
    Hint::One,
    Hint::TooLarge,
    Hint::Max,
    Hint::ExactlyMax,
    Hint::Crossed,
    Hint::Grows,
];

/// An iterator of `rows`, which claims to be fused.
#[derive(Clone, Debug)]
struct Hostile {
    rows: Vec<u64>,
    at: usize,
    has_ended: bool,
    after: AfterEnd,
    hint: Hint,
}

/// Rows that no honest iterator of these tests has.
const LATE: u64 = 1_000_000;

impl Iterator for Hostile {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.at += 1;
        let row = self.rows.get(self.at - 1).copied();
        if row.is_some() || !std::mem::replace(&mut self.has_ended, true) {
            return row;
        }
        match self.after {
            AfterEnd::End => None,
            AfterEnd::Resume => (!self.at.is_multiple_of(3)).then_some(LATE + self.at as u64),
            AfterEnd::Endless => Some(LATE),
            AfterEnd::Panic => panic!("pulled after the end"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rows.len().saturating_sub(self.at);
        match self.hint {
            Hint::Unknown => (0, None),
            Hint::True => (left, Some(left)),
            Hint::None => (0, Some(0)),
            Hint::One => (1, Some(1)),
            Hint::TooLarge => (left + 10_000_000, Some(left + 10_000_000)),
            Hint::Max => (usize::MAX, None),
            Hint::ExactlyMax => (usize::MAX, Some(usize::MAX)),
            Hint::Crossed => (left + 5, Some(left / 2)),
            Hint::Grows if self.at == 0 => (left, Some(left)),
            Hint::Grows => (usize::MAX, Some(usize::MAX)),
        }
    }
}

impl FusedIterator for Hostile {}

/// A strategy of iterators: the rows, and two wrong claims.
#[derive(Clone, Copy, Debug)]
struct Claims {
    after: AfterEnd,
    hint: Hint,
}

impl Claims {
    const HONEST: Claims = Claims { after: AfterEnd::End, hint: Hint::Unknown };

    fn iter(self, rows: Vec<u64>) -> Hostile {
        Hostile { rows, at: 0, has_ended: false, after: self.after, hint: self.hint }
    }
}

fn any_claims() -> impl Strategy<Value = Claims> {
    (prop::sample::select(&AFTER[..]), prop::sample::select(&HINTS[..]))
        .prop_map(|(after, hint)| Claims { after, hint })
}

// Case R-A1 of tests/PROMISES.md.
#[test]
fn the_first_none_of_map_while_is_the_end_for_take_of_a_boxed_rdd() {
    test(|| {
        let ctx = context();
        let texts = ctx.parallelize_with(1, vec!["0", "1", "x", "3"]);
        let numbers = texts.map_partitions(|rows| rows.map_while(|text| text.parse::<u64>().ok()));
        assert_eq!(numbers.collect()?, [0, 1]);
        assert_eq!(numbers.take(9)?, [0, 1]);
        assert_eq!(numbers.boxed().take(9)?, [0, 1]);
        assert_eq!(numbers.boxed().map_partitions(|mut rows| [rows.nth(3)]).collect()?, [None]);
        for level in LEVELS {
            assert_eq!(numbers.persist(level).take(9)?, [0, 1], "{level}");
            assert_eq!(numbers.map(|n| n.to_string()).persist(level).collect()?, ["0", "1"]);
        }
        let sorted = numbers.boxed().sort_by_key(|n| *n);
        assert_eq!(sorted.collect()?, [0, 1]);
        Ok(())
    });
}

/// Returns sources of hostile iterators, boxed: every place at which the engine takes one over.
fn sources(ctx: &Context, claims: Claims, rows: &[u64]) -> Vec<(&'static str, Rdd<u64>)> {
    let list = rows.to_vec();
    let numbers = ctx.parallelize_with(2, list.clone());
    let pairs = numbers.map(|n| (n % 3, n));
    let two = move |n: u64| claims.iter(vec![n, n + 1]);
    let rest = list.clone();
    vec![
        ("parallelize", ctx.parallelize_with(2, claims.iter(list.clone())).boxed()),
        (
            "generate",
            ctx.generate(2, move |at| claims.iter(rest[at.min(rest.len())..].to_vec())).boxed(),
        ),
        ("map_partitions", numbers.map_partitions(move |rows| claims.iter(rows.collect())).boxed()),
        (
            "map_partitions_with_index",
            numbers.map_partitions_with_index(move |_, rows| claims.iter(rows.collect())).boxed(),
        ),
        (
            "zip_partitions",
            numbers
                .zip_partitions(&numbers, move |left, right| {
                    claims.iter(left.chain(right).collect())
                })
                .boxed(),
        ),
        ("flat_map", numbers.flat_map(two).boxed()),
        ("try_flat_map", numbers.try_flat_map(move |n| Ok(two(n))).boxed()),
        ("flat_map_values", pairs.flat_map_values(two).map(|(key, n)| key + n).boxed()),
        ("refs.flat_map", numbers.refs().flat_map(move |n| two(*n)).boxed()),
        ("with.flat_map", numbers.with(1_u64).flat_map(move |_, n| two(n)).boxed()),
        (
            "refs.with.flat_map",
            numbers.cache().refs().with(1_u64).flat_map(move |_, n| two(*n)).boxed(),
        ),
        (
            "groups",
            pairs
                .group_by_key_iter()
                .flat_map(move |(_, all)| claims.iter(all.into_iter().collect()))
                .boxed(),
        ),
        (
            "nested",
            numbers
                .boxed()
                .flat_map(two)
                .boxed()
                .map_partitions(move |rows| claims.iter(rows.collect()))
                .boxed(),
        ),
    ]
}

/// Pulls rows one at a time, also after the end.
fn pulled<R: Iterator>(mut rows: R) -> impl Iterator<Item = R::Item> {
    let mut extra = 3;
    std::iter::from_fn(move || {
        loop {
            match rows.next() {
                None if extra > 0 => extra -= 1,
                row => return row,
            }
        }
    })
}

/// Runs operations that pull rows or fold them, on one pipeline.
fn narrow_answers<P: Pipeline<Item = u64>>(rdd: &Rdd<u64, P>) -> Result<Vec<Vec<u64>>> {
    let all = rdd.collect()?;
    let mut answers = vec![
        rdd.take(3)?,
        rdd.take(1_000)?,
        rdd.first()?.into_iter().collect(),
        vec![u64::from(rdd.is_empty()?), rdd.count()?],
        rdd.to_local_iterator().collect::<Result<_>>()?,
        rdd.map_partitions(pulled).collect()?,
        rdd.map(|n| n + 1).filter(|n| n % 2 == 0).take(1_000)?,
        rdd.zip(rdd).map(|(a, b)| a + b).take(1_000)?,
        rdd.zip(rdd).map(|(a, b)| a + b).collect()?,
        rdd.union(rdd).take(1_000)?,
        rdd.coalesce(1).take(1_000)?,
        rdd.flat_map(|n| [n, n]).map_partitions(pulled).collect()?,
        rdd.sample_with_replacement(2.0, 1).map_partitions(pulled).collect()?,
        rdd.glom().collect()?.concat(),
    ];
    answers.push(all);
    Ok(answers)
}

/// Runs operations that shuffle or store rows.
fn wide_answers(rdd: &Rdd<u64>, level: StorageLevel) -> Result<Vec<Vec<u64>>> {
    let pairs = rdd.map(|n| (n % 5, n));
    let stored = rdd.persist(level);
    Ok(vec![
        stored.take(2)?,
        stored.collect()?,
        stored.refs().map(|n| *n).map_partitions(pulled).collect()?,
        rdd.local_checkpoint()?.collect()?,
        rdd.sort_by_key(|n| *n).collect()?,
        rdd.distinct().collect()?,
        rdd.repartition(4).collect()?,
        pairs.reduce_by_key(|a, b| a + b).map(|(_, n)| n).collect()?,
        pairs.join(&pairs).map(|(_, (a, b))| a + b).map_partitions(pulled).collect()?,
        pairs.group_by_key().map(|(_, all)| all.iter().sum()).collect()?,
        pairs.partition_by(3).map_partitions(pulled).map(|(_, n)| n).collect()?,
        rdd.top(4)?,
        vec![rdd.aggregate(0, |sum, n| sum + n, |a, b| a + b)?],
    ])
}

fn check(claims: Claims, rows: &[u64], level: StorageLevel) -> Result<(), TestCaseError> {
    let ctx = context();
    let hostile = sources(&ctx, claims, rows);
    let honest = sources(&ctx, Claims::HONEST, rows);
    for ((name, hostile), (_, honest)) in hostile.iter().zip(&honest) {
        let at = format!("{name} {claims:?} {rows:?}");
        let answers = |rdd| (narrow_answers(rdd).unwrap(), wide_answers(rdd, level).unwrap());
        prop_assert_eq!(answers(hostile), answers(honest), "{}", at);
    }
    let list = rows.to_vec();
    let generated = ctx.generate(2, move |_| claims.iter(list.clone()));
    let expected = rows.repeat(2);
    prop_assert_eq!(generated.collect().unwrap(), expected.clone());
    prop_assert_eq!(generated.take(1_000).unwrap(), expected.clone());
    prop_assert_eq!(
        generated.flat_map(move |n| claims.iter(vec![n])).take(1_000).unwrap(),
        expected
    );
    let unboxed = ctx
        .parallelize_with(2, rows.to_vec())
        .map_partitions(move |rows| claims.iter(rows.collect()));
    let honest = ctx.parallelize_with(2, rows.to_vec());
    prop_assert_eq!(narrow_answers(&unboxed).unwrap(), narrow_answers(&honest).unwrap());
    Ok(())
}

// Case R-A1 of tests/PROMISES.md.
#[test]
fn no_operation_sees_rows_after_the_end_of_an_iterator_or_believes_its_size() {
    within(DEADLINE, || {
        let config = ProptestConfig { cases: scaled(6) as u32, ..ProptestConfig::default() };
        let levels = prop::sample::select(&LEVELS[..]);
        let inputs = (any_claims(), prop::collection::vec(0_u64..50, 0..12), levels);
        proptest::test_runner::TestRunner::new(config)
            .run(&inputs, |(claims, rows, level)| check(claims, &rows, level))
            .unwrap();
    });
}

// Case R-A1 of tests/PROMISES.md.
#[test]
fn lists_of_rdds_folders_and_rows_may_claim_any_size() {
    test(|| {
        for hint in HINTS {
            let claims = Claims { after: AfterEnd::Panic, hint };
            let folder = tempfile::tempdir().unwrap();
            let folders = claims.iter(vec![1]).map(|_| folder.path().to_path_buf());
            let ctx = Context::builder().scratch_dirs(folders).build()?;
            let all = ctx.union(claims.iter(vec![1, 2]).map(|n| ctx.range(0..n)));
            assert_eq!(all.collect()?, [0, 0, 1], "{hint:?}");
            assert_eq!(ctx.parallelize(claims.iter(vec![5, 6, 7])).collect()?, [5, 6, 7]);
            // Rows of a cached partition are metered however few the iterator claims.
            let rows = ctx.generate(1, move |_| claims.iter((0..100_000).collect()));
            assert_eq!(
                (rows.cache().count()?, rows.cache().refs().map(|n| *n).max()?),
                (100_000, Some(99_999))
            );
        }
        Ok(())
    });
}

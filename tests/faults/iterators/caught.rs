//! Closures that catch a panic of the rows that they pull: the task fails, and nothing is stored.

use super::{LEVELS, context, test};
use crate::hooked::{Hook, Method, Row};
use emberline::prelude::*;
use emberline::{Error, ErrorKind, Result, StorageLevel};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::{DEADLINE, scaled, within};

/// Unwinds as a panic does, without a message on the console.
fn boom() -> ! {
    resume_unwind(Box::new("boom"))
}

/// Returns the result of `call`, or nothing if it panics.
fn caught<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// A way to pull rows that catches panics and continues.
#[derive(Clone, Copy, Debug)]
enum Catcher {
    EachRow,
    FirstPanic,
    Fold,
    FoldByRef,
    Count,
    Lazily,
}

const CATCHERS: [Catcher; 6] = [
    Catcher::EachRow,
    Catcher::FirstPanic,
    Catcher::Fold,
    Catcher::FoldByRef,
    Catcher::Count,
    Catcher::Lazily,
];

impl Catcher {
    fn rows<T: 'static>(
        self,
        mut rows: impl Iterator<Item = T> + 'static,
    ) -> Box<dyn Iterator<Item = T>> {
        let mut seen = Vec::new();
        match self {
            Catcher::EachRow => {
                let mut panics = 0;
                while panics < 100 {
                    match caught(|| rows.next()) {
                        Some(Some(row)) => seen.push(row),
                        Some(None) => break,
                        None => panics += 1,
                    }
                }
            }
            Catcher::FirstPanic => {
                while let Some(Some(row)) = caught(|| rows.next()) {
                    seen.push(row);
                }
            }
            Catcher::Fold => drop(caught(|| rows.for_each(|row| seen.push(row)))),
            Catcher::FoldByRef => {
                while caught(|| rows.by_ref().for_each(|row| seen.push(row))).is_none() {
                    if seen.len() > 100 {
                        break;
                    }
                }
            }
            Catcher::Count => drop(caught(|| rows.count())),
            Catcher::Lazily => {
                let mut panics = 0;
                return Box::new(std::iter::from_fn(move || {
                    loop {
                        match caught(|| rows.next()) {
                            Some(row) => return row,
                            None if panics == 100 => return None,
                            None => panics += 1,
                        }
                    }
                }));
            }
        }
        Box::new(seen.into_iter())
    }
}

fn assert_failed<A: std::fmt::Debug>(answer: Result<A>, case: &str) -> Error {
    match answer {
        Ok(answer) => panic!("{case}: {answer:?}"),
        Err(error) => error,
    }
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn a_panic_that_map_partitions_catches_row_by_row_fails_the_action_and_stores_nothing() {
    test(|| {
        let ctx = context();
        let panics = Arc::new(AtomicBool::new(true));
        let is_on = Arc::clone(&panics);
        let rows = ctx
            .range_with(1, 0..6_u64)
            .map(move |n| if n == 1 && is_on.load(Ordering::Relaxed) { boom() } else { n });
        let mut stored = vec![rows.boxed().map(|n| n).boxed(), rows.boxed()];
        stored.extend(LEVELS.map(|level| rows.persist(level)));
        let caught: Vec<_> = stored
            .iter()
            .map(|rows| rows.map_partitions(|rows| Catcher::EachRow.rows(rows)).cache())
            .collect();
        for rows in &caught {
            let error = assert_failed(rows.collect(), "caught");
            assert!(matches!(error.kind(), ErrorKind::Panicked { .. }), "{error}");
            assert_eq!(error.operation().map(|operation| operation.name), Some("map"), "{error}");
            assert!(error.to_string().contains("caught"), "{error}");
        }
        panics.store(false, Ordering::Relaxed);
        for rows in stored.iter().chain(&caught) {
            assert_eq!(rows.collect()?, [0, 1, 2, 3, 4, 5]);
        }
        Ok(())
    });
}

/// A switch that makes an operation panic at one row, once.
#[derive(Clone)]
struct Trap {
    at: u64,
    is_set: Arc<AtomicBool>,
    /// True if the trap raises an error instead of a panic.
    raises: bool,
}

impl Trap {
    fn new(at: u64, raises: bool) -> Self {
        Trap { at, is_set: Arc::new(AtomicBool::new(true)), raises }
    }

    fn step(&self, n: u64) -> u64 {
        if n == self.at && self.is_set.load(Ordering::Relaxed) {
            boom();
        }
        n
    }

    /// Builds an operation with the trap before the rows that are pulled.
    fn build(&self, kind: usize, rows: &Rdd<u64>) -> Rdd<u64> {
        let trap = self.clone();
        if self.raises {
            return rows
                .try_map(move |n| match caught(|| trap.step(n)) {
                    Some(n) => Ok(n),
                    None => Err("raised".into()),
                })
                .boxed();
        }
        match kind % 9 {
            0 => rows.map(move |n| trap.step(n)).boxed(),
            1 => rows.filter(move |n| trap.step(*n) < 1_000).boxed(),
            2 => rows.flat_map(move |n| [trap.step(n)]).boxed(),
            3 => rows
                .flat_map(move |n| {
                    [n].into_iter().map({
                        let trap = trap.clone();
                        move |n| trap.step(n)
                    })
                })
                .boxed(),
            4 => rows.flat_map_into(move |n, out| out.push(trap.step(n))).boxed(),
            5 => rows
                .map_partitions(move |rows| {
                    let trap = trap.clone();
                    rows.map(move |n| trap.step(n))
                })
                .boxed(),
            6 => rows.refs().map(move |n| trap.step(*n)).boxed(),
            7 => rows.zip(&rows.map(move |n| trap.step(n))).map(|(_, n)| n).boxed(),
            _ => rows
                .inspect(move |n| {
                    trap.step(*n);
                })
                .union(rows)
                .filter(|n| *n < 1_000)
                .coalesce(2)
                .boxed(),
        }
    }
}

/// The last operation and the action of a case.
const ENDS: usize = 9;

fn end(kind: usize, rows: &Rdd<u64>, folder: &std::path::Path) -> Result<Vec<u64>> {
    let pairs = rows.map(|n| (n, 1_u64));
    match kind {
        0 => rows.collect(),
        1 => pairs.reduce_by_key(|a, b| a + b).map(|(n, _)| n).collect(),
        2 => pairs.group_by_key().map(|(n, _)| n).collect(),
        3 => rows.sort_by_key(|n| *n).collect(),
        4 => rows.local_checkpoint()?.collect(),
        5 => rows.checkpoint(folder.join("checkpoint"))?.collect(),
        6 => rows.save_as_text_file(folder.join("text")).map(|()| Vec::new()),
        7 => rows.for_each_partition(|rows| rows.for_each(drop)).map(|()| Vec::new()),
        _ => rows.take(1_000),
    }
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn caught_panics_and_errors_of_any_operation_fail_every_action_and_leave_nothing() {
    within(DEADLINE, || {
        let ctx = context();
        for case in 0..scaled(220) {
            let trap = Trap::new((case * 7 % 6) as u64, case % 5 == 4);
            let source = ctx.range_with(2, 0..6_u64).boxed();
            let trapped = trap.build(case, &source);
            let before = match case / 2 % 7 {
                5 => trapped,
                6 => trapped.map(|n| n).boxed(),
                level => trapped.persist(LEVELS[level]),
            };
            let catcher = CATCHERS[case / 3 % CATCHERS.len()];
            let pulled = before.map_partitions(move |rows| catcher.rows(rows));
            let after = match case / 5 % 7 {
                5 => pulled.boxed(),
                6 => pulled.map(|n| n).boxed(),
                level => pulled.persist(LEVELS[level]),
            };
            let folder = tempfile::tempdir().unwrap();
            let kind = case / 4 % ENDS;
            let name = format!("case {case}: {catcher:?}, end {kind}");
            assert_failed(end(kind, &after, folder.path()), &name);
            let left = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(left, 0, "{name} left files");
            trap.is_set.store(false, Ordering::Relaxed);
            let mut rows = before.collect().unwrap();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows, [0, 1, 2, 3, 4, 5], "{name} before");
            if !matches!(catcher, Catcher::Count) {
                let mut rows = after.collect().unwrap();
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(rows, [0, 1, 2, 3, 4, 5], "{name} after");
            }
        }
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn caught_panics_of_a_row_that_is_cloned_or_decoded_fail_the_action() {
    within(DEADLINE, || {
        for (number, level) in LEVELS.into_iter().enumerate() {
            for catcher in CATCHERS {
                for method in [Method::Clone, Method::Deserialize] {
                    let ctx = Context::builder().threads(1).build().unwrap();
                    let calls = Arc::new(AtomicUsize::new(0));
                    let counter = Arc::clone(&calls);
                    let hook = Hook::new(move |called| {
                        if called == method && counter.fetch_add(1, Ordering::Relaxed) == 3 {
                            boom();
                        }
                    });
                    let hook = Arc::new(hook);
                    let made = Arc::clone(&hook);
                    let rows = ctx.range_with(1, 0..6_u64).map(move |n| made.row(n));
                    let stored = rows.persist(level);
                    let pulled = stored.map_partitions(move |rows| catcher.rows(rows));
                    let answer = pulled.map(|row| row.value).collect();
                    let name = format!("{number} {level} {catcher:?} {method:?}");
                    let was_hit = calls.load(Ordering::Relaxed) > 3;
                    match answer {
                        Ok(values) if matches!(catcher, Catcher::Count) => {
                            assert_eq!(values, [0_u64; 0], "{name}");
                        }
                        Ok(values) => assert_eq!(values, [0, 1, 2, 3, 4, 5], "{name}"),
                        Err(error) => assert!(was_hit, "{name}: {error}"),
                    }
                    // The trap is sprung.
                    calls.store(9, Ordering::Relaxed);
                    let values = stored.map(|row| row.value).collect().unwrap();
                    assert_eq!(values, [0, 1, 2, 3, 4, 5], "{name}");
                }
            }
        }
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn caught_panics_of_both_sides_of_zip_partitions_and_of_for_each_partition_fail_the_action() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(2, 0..6_u64);
        let bad = rows.map(|n| if n == 4 { boom() } else { n });
        for catcher in CATCHERS {
            let left = bad.zip_partitions(&rows, move |left, _| catcher.rows(left));
            let right = rows.zip_partitions(&bad, move |_, right| catcher.rows(right));
            let indexed = bad.map_partitions_with_index(move |_, rows| catcher.rows(rows));
            assert_failed(left.count(), "left");
            assert_failed(right.count(), "right");
            assert_failed(indexed.count(), "indexed");
            let each = bad.for_each_partition(move |rows| catcher.rows(rows).for_each(drop));
            assert_failed(each, "each");
        }
        Ok(())
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn a_panic_of_a_later_operation_that_flat_map_into_catches_fails_the_action() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(1, 0..6_u64).flat_map_into(|n, out| {
            for _ in 0..3 {
                let _ = caught(|| out.push(n));
            }
        });
        let later = rows.map(|n| if n == 3 { boom() } else { n });
        for answer in [later.collect(), later.boxed().collect(), later.cache().collect()] {
            let error = assert_failed(answer, "push");
            assert!(matches!(error.kind(), ErrorKind::Panicked { .. }), "{error}");
            assert_eq!(error.operation().map(|operation| operation.name), Some("map"), "{error}");
        }
        Ok(())
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn panics_that_a_closure_catches_of_its_own_code_are_its_own() {
    test(|| {
        let ctx = context();
        let rows = ctx.range_with(2, 0..6_u64);
        let odd = |n: u64| caught(move || if n.is_multiple_of(2) { boom() } else { n });
        assert_eq!(rows.filter_map(odd).collect()?, [1, 3, 5]);
        let pulled = rows.map_partitions(move |rows| rows.filter_map(odd).collect::<Vec<_>>());
        assert_eq!(pulled.persist(StorageLevel::Disk).collect()?, [1, 3, 5]);
        let each = rows.boxed().map_partitions(move |mut rows| {
            let mut seen = Vec::new();
            for n in rows.by_ref() {
                seen.extend(odd(n));
            }
            seen
        });
        assert_eq!(each.sort_by_key(|n| *n).collect()?, [1, 3, 5]);
        Ok(())
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn a_retried_task_forgets_the_panic_that_its_first_attempt_caught() {
    test(|| {
        let ctx = Context::builder().threads(2).max_attempts(3).build()?;
        let left = Arc::new(AtomicUsize::new(2));
        let rows = ctx.range_with(1, 0..6_u64).map(move |n| {
            if n == 4
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                    .is_ok()
            {
                boom();
            }
            n
        });
        let pulled = rows.map_partitions(|rows| Catcher::EachRow.rows(rows)).cache();
        let summed = pulled.map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
        assert_eq!(summed.map(|(_, sum)| sum).reduce(|a, b| a + b)?, Some(15));
        assert_eq!(pulled.collect()?, [0, 1, 2, 3, 4, 5]);
        Ok(())
    });
}

// Case R-A7 of tests/PROMISES.md.
#[test]
fn a_caught_panic_of_a_value_of_a_group_fails_the_action() {
    within(DEADLINE, || {
        for force_spill in [false, true] {
            let ctx = Context::builder()
                .threads(1)
                .task_memory_bytes(1 << 20)
                .force_spill(force_spill)
                .build()
                .unwrap();
            let is_armed = Arc::new(AtomicBool::new(false));
            let armed = Arc::clone(&is_armed);
            let hook = Hook::new(move |called| {
                let pulls = [Method::Clone, Method::Deserialize].contains(&called);
                if pulls && armed.swap(false, Ordering::Relaxed) {
                    boom();
                }
            });
            let hook = Arc::new(hook);
            let rows = ctx.range_with(2, 0..60_000_u64).map(move |n| (n % 2, hook.row(n)));
            let counts = rows.group_by_key_iter().map(move |(_, group)| {
                is_armed.store(true, Ordering::Relaxed);
                let mut values = 0_u64;
                let mut all = group.iter();
                loop {
                    match caught(|| all.next().map(|row: Row| row.value)) {
                        Some(Some(_)) => values += 1,
                        Some(None) => return values,
                        None => {}
                    }
                }
            });
            let error = assert_failed(counts.collect(), "group");
            assert!(matches!(error.kind(), ErrorKind::Panicked { .. }), "{error}");
        }
    });
}

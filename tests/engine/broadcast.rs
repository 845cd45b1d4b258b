//! `broadcast_join` and `broadcast_left_outer_join` against nested loops: the rows of the probe side in
//! their order and partitions, each with the values of its key; and tables that are shared, lost, refused
//! or too large.

use crate::cleanup::files;
use crate::events::{Recorder, count_of};
use crate::support::*;
use emberline::fault::{Damage, FaultPlan};
use emberline::prelude::*;
use emberline::{ContextBuilder, StorageLevel, event::Event, id::ShuffleId};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{DEADLINE, eventually, within};

type Pairs = Vec<(i64, i64)>;
type Joined = Vec<(i64, (i64, i64))>;
type LeftJoined = Vec<(i64, (i64, Option<i64>))>;

fn joined(big: &Pairs, small: &Pairs) -> Joined {
    let of = |key: i64| small.iter().filter(move |row| row.0 == key);
    big.iter().flat_map(|(key, v)| of(*key).map(|(_, w)| (*key, (*v, *w)))).collect()
}

fn left_joined(big: &Pairs, small: &Pairs) -> LeftJoined {
    let mut rows = Vec::new();
    for (key, v) in big {
        let values: Vec<Option<i64>> =
            small.iter().filter(|row| row.0 == *key).map(|row| Some(row.1)).collect();
        let values = if values.is_empty() { vec![None] } else { values };
        rows.extend(values.into_iter().map(|w| (*key, (*v, w))));
    }
    rows
}

/// Returns each shape of the probe side with each shape that fits the smallest task memory limit of
/// the grid.
fn two_sides() -> Vec<(Pairs, Pairs)> {
    let few: Pairs = (0..90).map(|n| (noise(n) as i64 % 30, n as i64)).collect();
    let many: Pairs = (0..300).map(|n| (noise(n + 7) as i64 % 40, n as i64)).collect();
    let mut sides = vec![(many.clone(), few.clone()), (few.clone(), few)];
    let mut smalls = shapes();
    smalls.iter_mut().for_each(|rows| rows.truncate(40));
    let bigs = shapes().into_iter().chain([many]);
    sides.extend(bigs.zip(smalls.iter().cycle().skip(1).cloned()));
    sides.extend(shapes().into_iter().zip(smalls));
    sides
}

#[test]
fn broadcast_joins_equal_nested_loops_row_by_row() {
    for (big, small) in two_sides() {
        let oracle = (joined(&big, &small), left_joined(&big, &small));
        check(oracle, move |ctx, p| {
            let big = spread(ctx, p, &big);
            let small = spread(ctx, 3, &small);
            let left = big.broadcast_left_outer_join(&small);
            assert_eq!(left.num_partitions(), big.num_partitions());
            Ok((big.broadcast_join(&small).collect()?, left.collect()?))
        });
    }
}

#[test]
fn rows_stay_in_their_partitions() {
    check(vec![vec![(0, (0, 'a')), (1, (1, 'b'))], vec![], vec![(1, (7, 'b'))]], |ctx, p| {
        let big =
            ctx.generate(3, |p| [vec![(0, 0), (1, 1)], vec![(9, 9)], vec![(1, 7)]][p].clone());
        let small = ctx.parallelize_with(p, vec![(0, 'a'), (1, 'b')]);
        glom(&big.broadcast_join(&small))
    });
}

#[test]
fn strings_and_keys_with_equal_hashes_are_matched() {
    check(vec![("b".to_string(), (2, "y".to_string()))], |ctx, p| {
        let text = |(key, n): (&'static str, i32)| (key.to_string(), n);
        let big = ctx.parallelize_with(p, vec![("a", 1), ("b", 2)]).map(text);
        big.broadcast_join(&ctx.parallelize_with(2, vec![("b".to_string(), "y".to_string())]))
            .collect()
    });
    check((0..20).map(|n| (OneHash(n), (n, n + 100))).collect::<Vec<_>>(), |ctx, p| {
        let big = ctx.range_with(p, 0..30).map(|n| (OneHash(n), n));
        let small = ctx.range_with(3, 100..120).map(|n| (OneHash(n - 100), n));
        big.broadcast_join(&small).collect()
    });
}

#[test]
fn rows_pulled_and_then_folded_are_complete() {
    let (big, small) = two_sides().swap_remove(0);
    let oracle = left_joined(&big, &small);
    check(oracle, move |ctx, p| {
        let rows = spread(ctx, p, &big).broadcast_left_outer_join(&spread(ctx, 2, &small));
        let whole = rows.collect()?;
        for pulled in [1, 2, 5, 30] {
            let turned = rows.map_partitions(move |mut rows| {
                let mut all: LeftJoined = rows.by_ref().take(pulled).collect();
                rows.for_each(|row| all.push(row));
                all
            });
            assert_eq!(turned.collect()?, whole);
        }
        rows.to_local_iterator().collect()
    });
}

#[test]
fn a_broadcast_join_composes_with_every_operation() {
    let oracle: Vec<(i64, i64)> = (0..40).map(|n| (n % 10, n * 2 + n % 10)).collect();
    check(oracle.clone(), move |ctx, p| {
        let big = ctx.range_with(p, 0..40_i64).map(|n| (n % 10, n)).boxed();
        let small = ctx.range_with(2, 0..30_i64).map(|n| (n % 10, n % 10));
        let small = small.reduce_by_key(|a, _| a);
        let twice = big.broadcast_join(&big.broadcast_join(&small).values().map(|(n, k)| (n, k)));
        assert!(twice.filter(|(key, _)| *key > 9).is_empty()?);
        let mut rows = big.broadcast_join(&small).map(|(key, (n, k))| (key, n * 2 + k)).boxed();
        for _ in 0..3 {
            rows = rows.broadcast_join(&small).map(|(key, (n, _))| (key, n)).boxed();
        }
        let persisted = rows.persist(StorageLevel::MemoryAndDisk);
        for take in [0, 1, 7, 40] {
            assert_eq!(persisted.take(take)?, oracle[..take]);
            assert_eq!(rows.take(take)?, oracle[..take]);
        }
        assert_eq!(rows.union(&persisted).count()?, 80);
        assert_eq!(persisted.with_partitions(2).reduce_by_key(|a, b| a + b).count()?, 10);
        persisted.collect()
    });
}

#[test]
fn only_the_build_side_is_shuffled_and_once_for_all_jobs() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let big = ctx.range_with(5, 0..1000_u64).map(|n| (n % 50, n));
        let small = ctx.range_with(3, 0..20_u64).map(|n| (n, n));
        let (rows, counts) = counter.during(|| big.broadcast_join(&small));
        assert_eq!((counts.jobs, counts.tasks), (0, 0));
        let (answer, counts) = counter.during(|| rows.count());
        assert_eq!((answer?, counts.stages, counts.tasks, counts.rows_written), (400, 2, 8, 20));
        let (answer, counts) = counter.during(|| rows.count());
        assert_eq!((answer?, counts.stages, counts.skipped, counts.tasks), (400, 1, 1, 5));
        // A reduction of partitioned rows shuffles nothing, also after the join.
        let placed = big.partition_by(3);
        placed.count()?;
        let sums = placed.broadcast_left_outer_join(&small).map_values(|(n, _)| n);
        let (answer, counts) = counter.during(|| sums.reduce_by_key(|a, b| a + b).count());
        assert_eq!((answer?, counts.rows_written), (50, 20));
        Ok(())
    });
}

#[test]
fn combined_rows_stay_in_order_for_the_next_join() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2));
        let sums = |rows| ctx.range(0..rows).map(|n: u64| (n % 60, n)).reduce_by_key(|a, b| a + b);
        let left = sums(300);
        let right = sums(900);
        let small = ctx.range_with(2, 0..40_u64).map(|n| (n, n + 7));
        let direct = left.join(&right).collect()?;
        let named = left.broadcast_join(&small).map_values(|(sum, _)| sum);
        let (rows, counts) = counter.during(|| named.join(&right).collect());
        assert_eq!(counts.rows_written, 40, "only the small side is moved");
        let filtered: Vec<_> = direct.into_iter().filter(|(key, _)| *key < 40).collect();
        assert_eq!(rows?, filtered);
        Ok(())
    });
}

#[test]
fn jobs_that_build_the_table_concurrently_return_the_same_rows() {
    test(|| {
        let ctx = Context::builder().threads(4).build()?;
        for _ in 0..20 {
            let rows = counted(&ctx, &Arc::default());
            let collect = |rows: Rdd<_>| ctx.spawn(move || rows.collect());
            let jobs: Vec<_> = (0..4).map(|_| collect(rows.clone())).collect();
            for job in jobs {
                assert_eq!(job.wait()?, counted_rows());
            }
            drop(rows);
            eventually("an empty memory pool", || ctx.memory_used_bytes() == 0);
        }
        Ok(())
    });
}

/// Returns the rows that the tasks after the shuffle read, next to the rows of each partition of
/// the probe side.
fn rows_read(ctx: &Context, recorder: &Recorder, rows: &Rdd<(u64, (u64, u64))>) -> Result<u64> {
    recorder.events(ctx);
    rows.count()?;
    let read = |event: &Event| match event {
        Event::TaskFinished { metrics, .. } if metrics.rows_written == 0 => metrics.rows_read,
        _ => 0,
    };
    Ok(recorder.events(ctx).iter().map(read).sum())
}

#[test]
fn the_table_is_built_once_and_freed_with_the_rdd() {
    test(|| {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(1));
        let big = ctx.range_with(8, 0..800_u64).map(|n| (n, n));
        let rows = big.broadcast_join(&ctx.range_with(2, 0..100_u64).map(|n| (n, n))).boxed();
        assert_eq!(rows_read(&ctx, &recorder, &rows)?, 900);
        assert_eq!(rows_read(&ctx, &recorder, &rows)?, 800, "the table was stored");
        // Rows of 24 bytes in the output, and in the table at least as much again.
        assert!(ctx.memory_used_bytes() > 100 * 48, "{}", ctx.memory_used_bytes());
        drop(rows);
        eventually("an empty memory pool", || ctx.memory_used_bytes() == 0);
        Ok(())
    });
}

#[test]
fn each_task_builds_its_own_table_when_the_memory_limit_is_reached() {
    test(|| {
        let builder = Context::builder().threads(1).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
        let (ctx, recorder) = Recorder::on(builder);
        let pairs = |rows| ctx.range_with(1, 0..rows).map(|n: u64| (n, n));
        let fill = |_| {
            let full = pairs(400).partition_by(2);
            full.count().unwrap();
            full
        };
        let full: Vec<_> = (0..200).map(fill).collect();
        // An eighth is the task memory limit of the one thread.
        assert!(
            ctx.memory_used_bytes() > MIN_MEMORY_LIMIT_BYTES / 8 * 7 - (20 << 10),
            "there is room"
        );
        let big = ctx.range_with(8, 0..800_u64).map(|n| (n, n));
        let rows = big.broadcast_join(&pairs(700)).boxed();
        for _ in 0..2 {
            assert_eq!(rows_read(&ctx, &recorder, &rows)?, 800 + 8 * 700);
        }
        drop(full);
        eventually("room", || ctx.memory_used_bytes() < MIN_MEMORY_LIMIT_BYTES / 2);
        assert_eq!(rows_read(&ctx, &recorder, &rows)?, 800 + 700);
        assert_eq!(rows.count()?, 700);
        Ok(())
    });
}

/// Makes a join whose build side has four counted map tasks of a hundred rows each.
fn counted(ctx: &Context, calls: &Arc<AtomicUsize>) -> Rdd<(u64, (u64, u64))> {
    let calls = Arc::clone(calls);
    let small = ctx.range_with(4, 0..400_u64).map(move |n| {
        calls.fetch_add(1, Ordering::SeqCst);
        (n, n + 1)
    });
    ctx.range_with(5, 0..1000_u64).map(|n| (n % 500, n)).broadcast_join(&small).boxed()
}

fn counted_rows() -> Vec<(u64, (u64, u64))> {
    (0..1000).filter(|n| n % 500 < 400).map(|n| (n % 500, (n, n % 500 + 1))).collect()
}

#[test]
fn only_the_lost_output_of_the_build_side_is_recomputed() {
    within(DEADLINE, || {
        for damage in [Damage::Lost, Damage::Truncated, Damage::Corrupted] {
            for to_files in [true, false] {
                let folder = tempfile::tempdir().unwrap();
                let faults = FaultPlan::new().damage_map_output(ShuffleId(0), 2, damage).arm();
                let builder = Context::builder().threads(2).force_spill(to_files);
                let builder = builder.scratch_dir(folder.path()).faults(&faults);
                let ((ctx, recorder), calls) = (Recorder::on(builder), Arc::default());
                let rows = counted(&ctx, &calls);
                let what = format!("{damage:?}, in files: {to_files}");
                assert_eq!(rows.collect().unwrap(), counted_rows(), "{what}");
                assert_eq!((calls.load(Ordering::SeqCst), faults.fired()), (500, 1), "{what}");
                assert_eq!(count_of(&recorder.events(&ctx), "OutputLost"), 1, "{what}");
            }
        }
    });
}

#[test]
fn a_built_table_outlives_the_files_it_was_read_from() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let calls = Arc::default();
        let builder = Context::builder().threads(2).force_spill(true);
        let ctx = builder.scratch_dir(folder.path()).build().unwrap();
        let rows = counted(&ctx, &calls);
        assert_eq!(rows.collect().unwrap(), counted_rows());
        let outputs = files(folder.path());
        assert!(!outputs.is_empty());
        outputs.iter().for_each(|file| _ = fs::remove_file(file));
        assert_eq!(rows.collect().unwrap(), counted_rows());
        assert_eq!(calls.load(Ordering::SeqCst), 400);
        assert_eq!(counted(&ctx, &calls).collect().unwrap(), counted_rows());
    });
}

/// Makes a probe side, and a build side of `rows` rows whose table takes 54 bytes for each.
fn sized(builder: ContextBuilder, rows: u64) -> Result<u64> {
    let ctx = builder.threads(2).build()?;
    let small = ctx.range_with(3, 0..rows).map(|n| (n, n));
    ctx.range_with(4, 0..9_u64).map(|n| (n, n)).broadcast_join(&small).count()
}

#[test]
fn an_oversized_build_side_is_an_error_with_advice() {
    test(|| {
        let task_limit = 54 * 3 * 1000;
        let tiny = || Context::builder().task_memory_bytes(task_limit).max_attempts(3);
        assert_eq!(sized(tiny(), 1000)?, 9);
        let error = assert_kind(sized(tiny(), 1001), |kind| {
            let ErrorKind::BroadcastTooLarge { rows, bytes, limit_bytes } = kind else {
                return false;
            };
            (*rows, *bytes, *limit_bytes) == (1001, 54 * 1001, 54_000)
        });
        let text = error.to_string();
        for part in ["broadcast_join at", file!(), "use join", "task_memory_bytes", "54054 bytes"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(error.attempts(), 1, "another attempt would end the same way");
        // The memory limit bounds the task memory limit, and the encoded size of the output bounds nothing.
        let least =
            || Context::builder().memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES).force_spill(true);
        assert_eq!(sized(least(), MIN_MEMORY_LIMIT_BYTES / 24 / 54)?, 9);
        let is_too_large = |kind: &ErrorKind| matches!(kind, ErrorKind::BroadcastTooLarge { .. });
        assert_kind(sized(least(), MIN_MEMORY_LIMIT_BYTES / 24 / 54 + 1), is_too_large);
        Ok(())
    });
}

#[test]
fn heap_memory_of_keys_and_values_counts_for_the_table() {
    test(|| {
        let ctx = Context::builder().threads(2).task_memory_bytes(96 << 10).build()?;
        let texts = |rows| ctx.range_with(2, 0..rows).map(|n: u64| (n, "x".repeat(1000)));
        let big = ctx.range_with(2, 0..50_u64).map(|n| (n, n));
        assert_eq!(big.broadcast_join(&texts(20)).count()?, 20);
        assert_eq!(big.broadcast_left_outer_join(&texts(20)).count()?, 50);
        let is_too_large = |kind: &ErrorKind| matches!(kind, ErrorKind::BroadcastTooLarge { .. });
        assert_kind(big.broadcast_join(&texts(40)).count(), is_too_large);
        assert_kind(big.broadcast_left_outer_join(&texts(40)).count(), is_too_large);
        assert_eq!(big.join(&texts(40)).count()?, 40);
        Ok(())
    });
}

#[test]
fn a_cancelled_broadcast_join_ends_and_its_table_is_reused() {
    test(|| {
        let ctx = context();
        let small = ctx.range_with(2, 0..300_u64).map(|n| (n % 2, n));
        let endless = ctx.range_with(2, 0..1_u64 << 60).map(|n| (n % 2, n));
        let rows = endless.broadcast_join(&small).boxed();
        let all = rows.clone();
        let count = ctx.spawn(move || all.count());
        eventually("the start", || count.progress().tasks > 0);
        count.cancel("enough");
        assert_kind(count.wait(), |kind| matches!(kind, ErrorKind::Cancelled { .. }));
        assert_eq!(rows.take(3)?, [(0, (0, 0)), (0, (0, 2)), (0, (0, 4))]);
        Ok(())
    });
}

#[test]
fn broadcast_joins_of_two_contexts_are_refused() {
    test(|| {
        let one = context();
        let two = context();
        let big = one.parallelize(vec![(1, 1)]);
        let rows = big.broadcast_join(&two.parallelize(vec![(1, 2)]));
        let error =
            assert_kind(rows.count(), |kind| matches!(kind, ErrorKind::InvalidArgument { .. }));
        let text = error.to_string();
        assert!(text.contains("two contexts") && text.contains("broadcast_join"), "{text}");
        Ok(())
    });
}

#[test]
fn explain_shows_one_stage_for_the_build_side_and_one_for_the_rest() {
    test(|| {
        let ctx = context();
        let small = ctx.range_with(2, 0..3_u64).map(|n| (n, n));
        let rows = ctx.range_with(4, 0..9_u64).key_by(|n| *n).broadcast_join(&small);
        let text = rows.map_values(|(n, _)| n).explain().to_string();
        let stages: Vec<&str> = text.lines().filter(|line| line.starts_with("stage")).collect();
        let wanted = [
            "stage 0: 2 partitions, writes a shuffle into 1 partition",
            "stage 1: 4 partitions, reads stage 0, returns the result",
        ];
        assert_eq!(stages, wanted, "{text}");
        let join = text.lines().find(|line| line.contains("broadcast_join at")).unwrap();
        assert!(join.contains("reads stage 0"), "{text}");
        Ok(())
    });
}

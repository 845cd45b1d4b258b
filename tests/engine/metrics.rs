//! The metrics of tasks and reports, and the limit of results.

use crate::events::Recorder;
use crate::speculation::{self, Race};
use crate::support::{Counter, assert_kind, test};
use emberline::fault::FaultPlan;
use emberline::prelude::*;
use emberline::{
    ContextBuilder,
    event::{Event, TaskMetrics},
    id::StageId,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Returns the sum of the metrics of the tasks of each stage that ran, in stage order.
fn of_stages(events: &[Event]) -> Vec<TaskMetrics> {
    let ended = events.iter().filter_map(|event| match event {
        Event::TaskFinished { stage, metrics, .. } => Some((*stage, *metrics)),
        _ => None,
    });
    let mut sums = std::collections::BTreeMap::<_, TaskMetrics>::new();
    ended.for_each(|(stage, metrics)| sums.entry(stage).or_default().add(&metrics));
    sums.into_values().collect()
}

/// Shuffles 100,000 pairs of 16 bytes with distinct keys.
fn shuffled(builder: ContextBuilder) -> Result<Vec<TaskMetrics>> {
    let (ctx, recorder) = Recorder::on(builder.threads(2));
    let pairs = ctx.range_with(4, 0..100_000_u64).map(|n| (n, n));
    assert_eq!(pairs.with_partitions(3).reduce_by_key(|a, b| a + b).count()?, 100_000);
    Ok(of_stages(&recorder.events(&ctx)))
}

#[test]
fn metrics_of_a_small_job_are_exact() {
    test(|| {
        let stages = shuffled(Context::builder())?;
        let [map, result] = stages[..] else { panic!("{stages:?}") };
        assert_eq!((map.rows_read, map.rows_written), (100_000, 100_000));
        assert_eq!((result.rows_read, result.rows_written), (100_000, 0));
        // A row is a key, a value and the hash between them.
        assert_eq!((map.bytes_written, result.bytes_written), (2_400_000, 0));
        Ok(())
    });
}

#[test]
fn a_job_that_fits_in_memory_counts_no_file() {
    test(|| {
        for stage in shuffled(Context::builder())? {
            let files = (stage.files_spilled, stage.bytes_spilled, stage.write_us);
            assert_eq!(files, (0, 0, 0), "{stage:?}");
            assert_eq!((stage.encoded_bytes, stage.estimated_bytes), (0, 0));
        }
        Ok(())
    });
}

#[test]
fn a_tiny_task_memory_limit_spills_and_reports_actual_and_estimated_bytes() {
    test(|| {
        let builder = Context::builder().task_memory_bytes(64 << 10).force_spill(true);
        let stages = shuffled(builder)?;
        let [map, result] = stages[..] else { panic!("{stages:?}") };
        // Each map task has a file for all of its runs.
        assert!(map.files_spilled == 4 && result.files_spilled > 0, "{stages:?}");
        assert_eq!(map.estimated_bytes, map.bytes_written);
        assert!(map.encoded_bytes < map.estimated_bytes && map.encoded_bytes > 100_000, "{map:?}");
        assert!(map.bytes_spilled > 0 && map.write_us > 0 && result.read_us > 0);
        for stage in [map, result] {
            let parts = stage.compute_us() + stage.read_us + stage.sort_us + stage.write_us;
            assert_eq!(parts, stage.run_us, "phases are parts of the whole: {stage:?}");
        }
        Ok(())
    });
}

#[test]
fn a_sort_beyond_its_memory_counts_the_files_of_its_runs() {
    test(|| {
        let builder = Context::builder().task_memory_bytes(64 << 10).force_spill(true);
        let (ctx, recorder) = Recorder::on(builder.threads(2));
        let rows = ctx.range_with(2, 0..40_000_u64).map(|n| n * 7919 % 40_009);
        rows.repartition(1).map_partitions(|rows| rows).sort_by_key(|n| *n).for_each(|_| ())?;
        let last = *of_stages(&recorder.events(&ctx)).last().unwrap();
        assert_eq!(last.rows_read, 40_000);
        assert!(last.files_spilled > 0 && last.sort_us > 0, "{last:?}");
        Ok(())
    });
}

#[test]
fn the_peak_memory_of_a_task_stays_near_its_limit_and_follows_its_rows() {
    test(|| {
        let in_memory = shuffled(Context::builder())?;
        let task_limit = 64 << 10;
        let in_runs = shuffled(Context::builder().task_memory_bytes(task_limit))?;
        // Two operations of a task hold a quarter each, and a little more than that at most.
        assert!(
            in_runs[0].peak_bytes > task_limit / 8 && in_runs[0].peak_bytes <= task_limit,
            "{in_runs:?}"
        );
        // The buffers of a task have 25,000 rows of at least 24 bytes.
        assert!(in_memory[0].peak_bytes >= 600_000, "{in_memory:?}");
        Ok(())
    });
}

#[test]
fn metrics_of_an_older_version_are_read_with_defaults() {
    let old = r#"{"rows_read":7,"rows_written":5,"bytes_spilled":3,"run_us":2}"#;
    let read: TaskMetrics = serde_json::from_str(old).unwrap();
    let wanted = TaskMetrics {
        rows_read: 7,
        rows_written: 5,
        bytes_spilled: 3,
        run_us: 2,
        ..TaskMetrics::default()
    };
    assert_eq!(read, wanted);
}

/// Returns true if an action failed because of the size of its result.
fn is_refused<A: std::fmt::Debug>(answer: Result<A>) -> bool {
    match answer {
        Ok(_) => false,
        Err(error) => match error.kind() {
            ErrorKind::ResultTooLarge { .. } => true,
            other => panic!("{other:?}"),
        },
    }
}

// Case F075 of tests/PROMISES.md.
#[test]
fn one_large_result_and_many_small_ones_are_refused_beyond_the_limit() {
    test(|| {
        let ctx = Context::builder().threads(2).max_result_bytes(80_000).build()?;
        for partitions in [1, 10] {
            let fits = ctx.range_with(partitions, 0..10_000_u64);
            assert_eq!(fits.collect()?.len(), 10_000);
            let rows = ctx.range_with(partitions, 0..10_001_u64);
            assert!(is_refused(rows.collect()), "in {partitions} partitions");
        }
        let error = assert_kind(
            ctx.range(0..20_000_u64).collect(),
            |kind| matches!(kind, ErrorKind::ResultTooLarge { rows, limit_bytes: 80_000 } if *rows > 10_000),
        );
        let text = error.to_string();
        let ways = ["save_as_text_file", "aggregate", "take", "to_local_iterator", "limit"];
        assert!(ways.iter().all(|way| text.contains(way)), "{text}");
        assert!(text.contains("collect at") && text.contains("metrics.rs"), "{text}");
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn every_action_that_returns_rows_has_the_result_limit() {
    test(|| {
        let ctx = Context::builder().threads(2).max_result_bytes(8_000).build()?;
        let numbers = ctx.range_with(4, 0..4_000_u64);
        let pairs = numbers.map(|n| (n, n));
        assert!(is_refused(numbers.take(1_001)) && !is_refused(numbers.take(1_000)));
        assert!(is_refused(numbers.top(1_001)) && !is_refused(numbers.top(1_000)));
        assert!(is_refused(numbers.top_by_key(1_001, |n| *n)));
        assert_eq!(numbers.top_by_key(1_000, |n| *n)?.last(), Some(&3_000));
        assert!(
            is_refused(numbers.take_ordered(1_001)) && !is_refused(numbers.take_ordered(1_000))
        );
        assert!(is_refused(numbers.bottom_by_key(1_001, |n| *n)));
        assert_eq!(numbers.bottom_by_key(1_000, |n| *n)?.last(), Some(&999));
        assert!(is_refused(pairs.collect_as_map()));
        assert!(is_refused(pairs.count_by_key()) && is_refused(numbers.count_by_value()));
        assert!(is_refused(numbers.map(|n| (1, n)).lookup(&1)));
        assert!(!is_refused(pairs.lookup(&7)));
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn take_and_top_count_and_hold_only_the_rows_they_return() {
    test(|| {
        let counter = Counter::default();
        let ctx = counter.listen(Context::builder().threads(2).max_result_bytes(8_000));
        // The first partition has 100 rows, each of the others a thousand.
        let rows = ctx
            .generate(9, |at| (0..if at == 0 { 100 } else { 1_000 }).map(move |n| (at as u32, n)));
        let wanted = (0..100).map(|n| (0, n)).chain((0..900).map(|n| (1, n)));
        let wanted: Vec<(u32, i32)> = wanted.collect();
        let (taken, counts) = counter.during(|| rows.take(500));
        // 400 rows are requested of partitions of 1,000: two partitions are computed, not four.
        assert_eq!((taken?, counts.tasks), (wanted[..500].to_vec(), 3));
        assert_eq!(rows.take(1_000)?, wanted);
        assert!(is_refused(rows.take(1_001)));
        let (top, counts) = counter.during(|| rows.top(400));
        let last = (600..1_000).rev().map(|n| (8, n));
        assert_eq!((top?, counts.jobs), (last.collect(), 5), "two partitions of 400 rows a job");
        assert_eq!(counter.during(|| rows.top(100)).1.jobs, 1);
        assert_eq!(
            (rows.top(1_000)?.len(), rows.top_by_key(1_000, |row| *row)?.len()),
            (1_000, 1_000)
        );
        assert!(is_refused(rows.top(1_001)) && is_refused(rows.top_by_key(1_001, |row| *row)));
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn a_local_iterator_counts_one_partition_at_a_time() {
    test(|| {
        let ctx = Context::builder().threads(2).max_result_bytes(8_000).build()?;
        let rows = ctx.range_with(4, 0..4_000_u64).to_local_iterator();
        assert_eq!(rows.collect::<Result<Vec<_>>>()?.len(), 4_000);
        let rows = ctx.range_with(3, 0..4_000_u64).to_local_iterator();
        assert!(is_refused(rows.collect::<Result<Vec<_>>>()));
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn shuffled_rows_do_not_count_for_the_result_limit() {
    test(|| {
        let ctx = Context::builder().threads(2).max_result_bytes(8_000).build()?;
        let pairs = ctx.range_with(4, 0..50_000_u64).map(|n| (n, n));
        let sums = pairs.reduce_by_key(|a, b| a + b);
        assert_eq!(sums.count()?, 50_000);
        assert_eq!(sums.cache().map(|(_, n)| n).reduce(|a, b| a + b)?, Some(1_249_975_000));
        assert_eq!(sums.sort_pairs().first()?, Some((0, 0)));
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn a_task_beyond_the_result_limit_stops_early_and_is_not_retried() {
    test(|| {
        let builder = Context::builder().threads(1).max_result_bytes(80_000).max_attempts(5);
        let (ctx, recorder) = Recorder::on(builder);
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        let rows = ctx.range_with(1, 0..10_000_000_u64).inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert!(is_refused(rows.collect()));
        assert!(seen.load(Ordering::Relaxed) < 20_000, "{seen:?}");
        assert_eq!(recorder.tasks_started(&ctx), 1);
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn the_result_limit_defaults_to_the_memory_limit() {
    test(|| {
        let ctx = Context::builder().threads(1).memory_limit_bytes(1 << 20).build()?;
        assert!(is_refused(ctx.range(0..131_073_u64).collect()));
        assert_eq!(ctx.range(0..131_072_u64).collect()?.len(), 131_072);
        let refused = Context::builder().max_result_bytes(0).build().unwrap_err();
        assert!(refused.to_string().contains("max_result_bytes"), "{refused}");
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn a_failed_attempt_does_not_count_for_the_result_limit() {
    test(|| {
        let builder = Context::builder().threads(1).max_result_bytes(80_000).max_attempts(2);
        let ctx = builder.build()?;
        let failures = Arc::new(AtomicUsize::new(0));
        let rows = ctx.range_with(1, 0..10_000_u64).map(move |n| {
            let fails = n == 9_999 && failures.fetch_add(1, Ordering::Relaxed) == 0;
            assert!(!fails, "the first attempt fails at its last row");
            n
        });
        assert_eq!(rows.collect()?.len(), 10_000);
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn an_attempt_that_fails_after_its_last_row_does_not_count_for_the_result_limit() {
    test(|| {
        let plan = FaultPlan::new().fail_task(StageId(0), 0, 0);
        let builder = Context::builder().threads(1).max_result_bytes(80_000).faults(plan);
        let ctx = builder.build()?;
        assert_eq!(ctx.range_with(1, 0..10_000_u64).collect()?.len(), 10_000);
        Ok(())
    });
}

// Case F075 of tests/PROMISES.md.
#[test]
fn a_straggler_and_its_speculative_attempt_count_once() {
    test(|| {
        let ctx = speculation::builder().max_result_bytes(80_000).build()?;
        let race = Race::default();
        let inside = race.clone();
        let rows = ctx.generate(4, move |partition| {
            let race = inside.clone();
            let rows = if partition == 3 { 9_000 } else { 1 };
            // The first attempt waits before its last row, while it holds nearly all rows.
            (1..=rows).map(move |n| if n == 9_000 { race.run() } else { n })
        });
        assert_eq!(rows.collect()?.len(), 9_003);
        race.let_go();
        Ok(())
    });
}

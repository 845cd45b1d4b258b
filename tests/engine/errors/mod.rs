//! A failing closure is an `Err` that names the operation, the line and the cause; other jobs continue.

mod arguments;
mod nested;
mod retries;
mod rows;

use emberline::prelude::*;
use emberline::{Partitioner, Partitioning};
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use testkit::{DEADLINE, within};

/// Returns its argument, and panics for row 25, which is in the third of four partitions.
fn not_25(n: u64) -> u64 {
    assert!(n != 25, "boom at {n}");
    n
}

fn numbers(ctx: &Context) -> Rdd<u64> {
    ctx.range_with(4, 0..40_u64).boxed()
}

/// Makes forty pairs in which row 25 is not the first of its key in its partition.
fn pairs(ctx: &Context) -> Rdd<(u64, u64)> {
    numbers(ctx).map(|n| (n % 5, n)).boxed()
}

/// Makes four partitions of one pair each, all with one key, so that only reduce tasks merge.
fn lonely_pairs(ctx: &Context) -> Rdd<(u8, u64)> {
    ctx.range_with(4, 0..4_u64).map(|n| (0, n)).boxed()
}

/// Returns the error of a failing job, and checks that its context still works.
fn error_of<R: fmt::Debug>(run: impl FnOnce(&Context) -> Result<R> + Send + 'static) -> Error {
    within(DEADLINE, move || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let error = run(&ctx).unwrap_err();
        assert_eq!(pairs(&ctx).reduce_by_key(|a, b| a + b).count().unwrap(), 5);
        error
    })
}

/// Checks that `error` blames `operation`, on a line of the test that holds its call, which is at
/// most a few lines below the one this was called at.
fn assert_blames(error: &Error, operation: &str, here: &Location<'_>) {
    let blamed = error.operation().unwrap_or_else(|| panic!("no operation is blamed: {error}"));
    let (file, line) = (blamed.call_site.file(), blamed.call_site.line());
    assert_eq!((blamed.name, file), (operation, here.file()), "{error}");
    assert!((here.line()..here.line() + 12).contains(&line), "line {line}: {error}");
    let root = env!("CARGO_MANIFEST_DIR");
    let source = std::fs::read_to_string(std::path::Path::new(root).join(file)).unwrap();
    let text = source.lines().nth(line as usize - 1).unwrap();
    assert!(text.contains(operation), "line {line} is `{text}`: {error}");
    assert!(error.to_string().starts_with(&format!("{operation} at {file}:{line}: ")), "{error}");
}

/// Runs a job whose closure panics at row 25, and checks the text of its error.
#[track_caller]
fn breaks<R, F>(operation: &str, run: F)
where
    R: fmt::Debug,
    F: FnOnce(&Context) -> Result<R> + Send + 'static,
{
    let here = Location::caller();
    let error = error_of(run);
    assert_blames(&error, operation, here);
    let task = error.task().unwrap_or_else(|| panic!("no task is named: {error}"));
    assert_eq!(task.attempt, 0, "{error}");
    let position = format!("(stage {}, partition {}, attempt 0)", task.stage.0, task.partition);
    let text = error.to_string();
    assert!(text.contains("boom") && text.contains(&position), "{text}");
}

/// Runs [`breaks`] and checks that the third partition failed.
#[track_caller]
fn breaks_in_2<R, F>(operation: &str, run: F)
where
    R: fmt::Debug,
    F: FnOnce(&Context) -> Result<R> + Send + 'static,
{
    breaks(operation, move |ctx| {
        let outcome = run(ctx);
        if let Err(error) = &outcome {
            assert_eq!(error.task().unwrap().partition, 2, "{error}");
        }
        outcome
    });
}

/// Runs [`breaks`] and checks that the driver failed.
#[track_caller]
fn breaks_on_the_driver<R, F>(operation: &str, run: F)
where
    R: fmt::Debug,
    F: FnOnce(&Context) -> Result<R> + Send + 'static,
{
    let here = Location::caller();
    let error = error_of(run);
    assert_blames(&error, operation, here);
    assert!(error.task().is_none() && error.to_string().contains("boom"), "{error}");
}

#[test]
fn a_panic_in_a_row_closure_names_operation_line_and_task() {
    breaks_in_2("map", |ctx| numbers(ctx).map(not_25).count());
    breaks_in_2("filter", |ctx| numbers(ctx).filter(|n| not_25(*n) > 0).count());
    breaks_in_2("filter_map", |ctx| numbers(ctx).filter_map(|n| Some(not_25(n))).count());
    breaks_in_2("inspect", |ctx| numbers(ctx).inspect(|n| _ = not_25(*n)).count());
    breaks_in_2("key_by", |ctx| numbers(ctx).key_by(|n| not_25(*n)).count());
    breaks_in_2("map_values", |ctx| pairs(ctx).map_values(not_25).count());
    breaks_in_2("try_map", |ctx| numbers(ctx).try_map(|n| Ok(not_25(n))).count());
    breaks_in_2("map", |ctx| numbers(ctx).with(1_u64).map(|one, n| one + not_25(n)).count());
}

#[test]
fn a_panic_in_a_partition_closure_names_operation_line_and_task() {
    breaks_in_2("flat_map", |ctx| numbers(ctx).flat_map(|n| Some(not_25(n))).count());
    breaks_in_2("flat_map", |ctx| numbers(ctx).flat_map(|n| (n..=n).map(not_25)).count());
    breaks_in_2("flat_map_into", |ctx| {
        numbers(ctx).flat_map_into(|n, out| out.push(not_25(n))).count()
    });
    breaks_in_2("map_partitions", |ctx| {
        numbers(ctx).map_partitions(|rows| rows.map(not_25).collect::<Vec<_>>()).count()
    });
    breaks_in_2("map_partitions", |ctx| {
        numbers(ctx).map_partitions(|rows| rows.map(not_25)).count()
    });
    breaks_in_2("generate", |ctx| ctx.generate(4, |p| vec![not_25(p as u64 * 12 + 1)]).count());
    breaks_in_2("generate", |ctx| {
        ctx.generate(4, |p| (0..10).map(move |n| not_25(10 * p as u64 + n))).count()
    });
}

#[test]
fn the_operation_that_panicked_is_blamed_whatever_follows_it() {
    breaks_in_2("map", |ctx| numbers(ctx).map(not_25).flat_map(|n| [n, n]).count());
    breaks_in_2("flat_map", |ctx| {
        numbers(ctx)
            .flat_map(|n| (n..=n).map(not_25))
            .map(|n| n + 1)
            .boxed()
            .filter(|_| true)
            .count()
    });
    breaks_in_2("filter", |ctx| {
        numbers(ctx).flat_map(|n| [n]).filter(|n| not_25(*n) > 0).for_each(|_| ())
    });
    breaks_in_2("map", |ctx| numbers(ctx).map_partitions(|rows| rows).map(not_25).for_each(|_| ()));
    breaks_in_2("map", |ctx| {
        ctx.generate(4, |p| (0..10).map(move |n| 10 * p as u64 + n)).map(not_25).count()
    });
    breaks("map", |ctx| numbers(ctx).map(not_25).take(40));
    breaks("flat_map", |ctx| numbers(ctx).flat_map(|n| (n..=n).map(not_25)).take(40));
    breaks("generate", |ctx| {
        ctx.generate(4, |p| (0..10).map(move |n| not_25(10 * p as u64 + n))).take(40)
    });
}

#[test]
fn a_panic_while_keys_are_combined_names_the_operation_on_both_sides() {
    let merge = |a: u64, b| a + not_25(b);
    breaks_in_2("reduce_by_key", move |ctx| pairs(ctx).reduce_by_key(merge).count());
    breaks("reduce_by_key", |ctx| {
        lonely_pairs(ctx).with_partitions(2).reduce_by_key(|_, _| panic!("boom")).count()
    });
    breaks_in_2("aggregate_by_key", move |ctx| {
        pairs(ctx).aggregate_by_key(0, merge, |a, b| a + b).count()
    });
    breaks("aggregate_by_key", move |ctx| {
        lonely_pairs(ctx).aggregate_by_key(0, merge, |_, _| panic!("boom")).count()
    });
    breaks_in_2("combine_by_key", move |ctx| {
        numbers(ctx).map(|n| (n, n)).combine_by_key(not_25, merge, merge).count()
    });
    breaks_in_2("combine_by_key", move |ctx| {
        pairs(ctx).combine_by_key(|n| n, merge, |a, b| a + b).count()
    });
    breaks("combine_by_key", |ctx| {
        lonely_pairs(ctx).combine_by_key(|n| n, |a, b| a + b, |_, _| panic!("boom")).count()
    });
}

#[test]
fn a_panic_while_rows_are_sorted_names_the_sort() {
    breaks("sort_by_key", |ctx| numbers(ctx).sort_by_key(|n| not_25(*n)).count());
    breaks("sort_by_key", |ctx| {
        numbers(ctx).with_partitions(1).sort_by_key(|n| not_25(*n)).count()
    });
    breaks("sort_by", |ctx| {
        ctx.range_with(1, 0..40).sort_by(|a, b| not_25(*a).cmp(&not_25(*b))).count()
    });
    // With more partitions the first comparisons are those of the sample.
    breaks_on_the_driver("sort_by", |ctx| {
        numbers(ctx).sort_by(|a, b| not_25(*a).cmp(&not_25(*b))).count()
    });
}

/// A partitioner with five partitions that panics for key 25.
struct Picky;

impl Partitioner<u64> for Picky {
    fn partitions(&self) -> usize {
        5
    }

    fn partition_of(&self, key: &u64) -> usize {
        not_25(*key) as usize % 5
    }
}

fn picky() -> Partitioning<u64> {
    Partitioning::from(Arc::new(Picky))
}

#[test]
fn a_panic_in_a_partitioner_names_the_operation_that_uses_it() {
    let keyed = |ctx: &Context| numbers(ctx).map(|n| (n, n)).boxed();
    breaks_in_2("partition_by", move |ctx| keyed(ctx).partition_by(picky()).count());
    breaks_in_2("reduce_by_key", move |ctx| {
        keyed(ctx).with_partitions(picky()).reduce_by_key(|a, b| a + b).count()
    });
    breaks_in_2("group_by_key", move |ctx| {
        keyed(ctx).with_partitions(picky()).group_by_key().count()
    });
    breaks_in_2("join", move |ctx| keyed(ctx).with_partitions(picky()).join(&keyed(ctx)).count());
    breaks_in_2("group_by_key", move |ctx| {
        keyed(ctx).map_partitions(|rows| rows).with_partitions(picky()).group_by_key().count()
    });
    breaks_in_2("distinct", move |ctx| numbers(ctx).with_partitions(picky()).distinct().count());
}

#[test]
fn a_partitioner_that_returns_an_invalid_partition_is_an_error() {
    struct TooFar;
    impl Partitioner<u64> for TooFar {
        fn partitions(&self) -> usize {
            3
        }
        fn partition_of(&self, key: &u64) -> usize {
            *key as usize
        }
    }
    let error =
        error_of(|ctx| pairs(ctx).partition_by(Partitioning::from(Arc::new(TooFar))).count());
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::PartitionOutOfRange { partitions: 3, .. }), "{error}");
    assert_eq!(error.operation().unwrap().name, "partition_by", "{error}");
}

#[test]
fn a_panic_in_the_closure_of_an_action_names_the_action() {
    breaks_in_2("for_each", |ctx| numbers(ctx).for_each(|n| _ = not_25(n)));
    breaks_in_2("reduce", |ctx| numbers(ctx).reduce(|a, b| a + not_25(b)));
    breaks_in_2("fold", |ctx| numbers(ctx).fold(0, |a, b| a + not_25(b)));
    breaks_in_2("aggregate", |ctx| numbers(ctx).aggregate(0, |a, b| a + not_25(b), |a, b| a + b));
    breaks_in_2("top_by_key", |ctx| numbers(ctx).top_by_key(3, |n| not_25(*n)));
    breaks_in_2("bottom_by_key", |ctx| numbers(ctx).bottom_by_key(3, |n| not_25(*n)));
}

#[test]
fn a_panic_in_a_merge_on_the_driver_is_an_error() {
    breaks_on_the_driver("reduce", |ctx| ctx.range_with(4, 0..4_u64).reduce(|_, _| panic!("boom")));
    breaks_on_the_driver("aggregate", |ctx| {
        numbers(ctx).aggregate(0, |a, b| a + b, |_, _| panic!("boom"))
    });
    let merge = |a: u64, b| if b > 100 { panic!("boom") } else { a + b };
    breaks_on_the_driver("fold", move |ctx| numbers(ctx).fold(0, merge));
}

/// A row whose `Display` fails or panics.
struct Unspeakable(bool);

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(self.0, "boom");
        Err(fmt::Error)
    }
}

#[test]
fn a_display_that_panics_or_fails_fails_the_save_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for refuses in [false, true] {
        let path = folder.path().join("out");
        let error = error_of(move |ctx| {
            numbers(ctx).map(move |_| Unspeakable(refuses)).save_as_text_file(path)
        });
        assert_eq!(error.operation().unwrap().name, "save_as_text_file", "{error}");
        let wanted = if refuses { "Display" } else { "boom" };
        assert!(error.to_string().contains(wanted), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_panic_with_any_payload_is_an_error() {
    breaks("map", |ctx| numbers(ctx).map(|n| -> u64 { panic!("{}", format!("boom {n}")) }).count());
    let error =
        error_of(|ctx| numbers(ctx).map(|_| -> u64 { std::panic::panic_any(17_u8) }).count());
    assert!(matches!(error.kind(), ErrorKind::Panicked { .. }), "{error}");
}

#[test]
fn the_cause_of_a_failed_closure_is_the_error_source() {
    let error = error_of(|ctx| {
        let words = ctx.parallelize_with(2, vec!["1", "2", "three"]);
        words.try_map(|word| Ok(word.parse::<u32>()?)).collect()
    });
    assert!(matches!(error.kind(), ErrorKind::ClosureFailed), "{error}");
    let cause = std::error::Error::source(&error).expect("a cause");
    let parse = cause.downcast_ref::<std::num::ParseIntError>().expect("the user's own error");
    assert!(error.to_string().contains(&parse.to_string()), "{error}");
}

#[test]
fn an_error_of_try_map_names_line_partition_and_attempt() {
    breaks_in_2("try_map", |ctx| {
        let refuse = |n| if n == 25 { Err("boom".into()) } else { Ok(n) };
        numbers(ctx).try_map(refuse).count()
    });
}

#[test]
fn a_closure_that_catches_a_raised_error_still_fails_the_action() {
    let error = error_of(|ctx| {
        let parsed = ctx.range_with(1, 0..10_u64).try_map(|n| match n {
            5 => Err("boom".into()),
            n => Ok(n),
        });
        let half = parsed.map_partitions(|rows| {
            let mut seen = Vec::new();
            let _ = catch_unwind(AssertUnwindSafe(|| rows.for_each(|row| seen.push(row))));
            seen
        });
        half.cache().count()
    });
    assert!(matches!(error.kind(), ErrorKind::ClosureFailed), "{error}");
    assert_eq!(error.operation().unwrap().name, "try_map", "{error}");
}

#[test]
fn a_panic_that_a_closure_caught_is_the_error_of_its_action_and_of_no_later_one() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let caught = numbers(&ctx).map(not_25).map_partitions(|rows| {
            let mut seen = Vec::new();
            let _ = catch_unwind(AssertUnwindSafe(|| rows.for_each(|row| seen.push(row))));
            seen
        });
        let of_24 = |n: &u64| if *n == 24 { panic!("boom") } else { true };
        let error = caught.filter(of_24).count().unwrap_err();
        assert_eq!(error.operation().unwrap().name, "map", "{error}");
        let later = numbers(&ctx).filter(of_24).count().unwrap_err();
        assert_eq!(later.operation().unwrap().name, "filter", "{later}");
    });
}

#[test]
fn other_jobs_continue_while_one_fails() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let jobs = (0..16_u64).map(|job| {
            let ctx = ctx.clone();
            std::thread::spawn(move || {
                let rows = pairs(&ctx)
                    .map(move |(key, n)| (key, if job % 2 == 1 { not_25(n) } else { n }));
                rows.reduce_by_key(|a, b| a + b).count()
            })
        });
        for (job, outcome) in jobs.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(outcome.join().unwrap().ok(), (job % 2 == 0).then_some(5), "job {job}");
        }
    });
}

// Case F058 of tests/PROMISES.md.
#[test]
fn an_error_also_names_the_action_and_its_line() {
    let line = line!() + 1;
    let error = error_of(|ctx| numbers(ctx).map(not_25).count());
    let action = format!("[count at {}:{line}]", file!());
    assert!(error.to_string().ends_with(&action), "{error}");
    assert_eq!(error.action().unwrap().name, "count");
}

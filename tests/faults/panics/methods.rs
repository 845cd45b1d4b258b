//! Rows whose n-th call of a method panics, for every n, in every operation and action: the action returns an error, or
//! the right rows if the panic had no influence on them, and the context is as good as new.

use super::destructors::files;
use crate::hooked::{Hook, Method, Row};
use emberline::StorageLevel;
use emberline::prelude::*;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use testkit::{eventually, scaled, within};

const METHODS: [Method; 8] = [
    Method::Clone,
    Method::Hash,
    Method::Eq,
    Method::Ord,
    Method::Drop,
    Method::Serialize,
    Method::Deserialize,
    Method::Debug,
];

/// Rows of which one method panics.
struct Probe {
    hook: Hook,
    calls: Arc<AtomicUsize>,
    copies: usize,
}

/// The calls at which a method panics. Calls are counted from one.
#[derive(Clone, Copy, Debug)]
enum When {
    /// At one call.
    At(usize),
    /// At this call and all later ones, for a destructor unless the thread unwinds already.
    From(usize),
}

impl When {
    fn first(self) -> usize {
        match self {
            When::At(at) | When::From(at) => at,
        }
    }

    fn includes(self, call: usize) -> bool {
        match self {
            When::At(at) => call == at,
            When::From(at) => (at..STOPPED).contains(&call),
        }
    }
}

const MESSAGE: &str = "a method of a row panics";

/// The number of calls after which none counts any more.
const STOPPED: usize = usize::MAX / 2;

impl Probe {
    /// Returns rows whose `method` panics at some calls. The sources have each row `copies` times.
    fn new(method: Method, when: When, copies: usize) -> Probe {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let hook = Hook::new(move |called| {
            if called == method && when.includes(counted.fetch_add(1, SeqCst) + 1) {
                // Unlike `panic!` it prints nothing.
                resume_unwind(Box::new(MESSAGE.to_string()));
            }
        });
        Probe { hook, calls, copies }
    }

    /// Ends the action: rows of the result belong to the test.
    fn stop(&self) {
        self.calls.fetch_add(STOPPED, SeqCst);
    }

    fn row(&self, value: u64) -> Row {
        self.hook.row(value)
    }

    fn rows(&self, ctx: &Context) -> Rdd<Row> {
        let values = [3, 1, 3, 2].repeat(self.copies);
        let rows: Vec<Row> = values.into_iter().map(|value| self.row(value)).collect();
        ctx.parallelize_with(2, rows).boxed()
    }

    fn pairs(&self, ctx: &Context) -> Rdd<(Row, Row)> {
        let row = |(key, value)| (self.row(key), self.row(value));
        let values = [(3, 5), (1, 6), (3, 7), (2, 8)].repeat(self.copies);
        let pairs: Vec<(Row, Row)> = values.into_iter().map(row).collect();
        ctx.parallelize_with(2, pairs).boxed()
    }

    /// Collects rows, each with the values that it shows.
    fn collect<T: Send + 'static>(&self, rdd: &Rdd<T>, show: impl Fn(&T) -> Vec<u64>) -> Answer {
        let rows = rdd.collect();
        self.stop();
        Ok(rows?.iter().map(show).collect())
    }

    fn one(&self, row: Result<Option<Row>>) -> Answer {
        self.stop();
        Ok(row?.iter().map(|row| vec![row.value]).collect())
    }

    fn many(&self, rows: Result<Vec<Row>>) -> Answer {
        self.stop();
        Ok(rows?.iter().map(|row| vec![row.value]).collect())
    }

    fn number<N: Into<u64>>(&self, number: Result<N>) -> Answer {
        self.stop();
        Ok(vec![vec![number?.into()]])
    }
}

/// The rows of a result as numbers, or the error of the action.
type Answer = Result<Vec<Vec<u64>>>;

/// A program over probed rows. It may use an empty folder.
type Program = fn(&Context, &Probe, &Path) -> Answer;

fn value(row: &Row) -> Vec<u64> {
    vec![row.value]
}

fn pair(row: &(Row, Row)) -> Vec<u64> {
    vec![row.0.value, row.1.value]
}

fn values(rows: &[Row]) -> impl Iterator<Item = u64> {
    rows.iter().map(|row| row.value)
}

fn group((key, rows): &(Row, Vec<Row>)) -> Vec<u64> {
    [key.value].into_iter().chain(values(rows)).collect()
}

fn larger(a: Row, b: Row) -> Row {
    if a < b { b } else { a }
}

/// A row with a `Display` that calls the hook.
struct Shown(Row);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn stored(ctx: &Context, probe: &Probe, level: StorageLevel) -> Answer {
    let stored = probe.rows(ctx).persist(level);
    stored.count()?;
    let again = probe.collect(&stored, value);
    stored.unpersist();
    again
}

/// Returns rows whose iterator owns a row until it is dropped.
fn owning_iterators(rows: &Rdd<Row>) -> Rdd<Row> {
    let owning = rows.map_partitions(|rows| {
        let mut rows: Vec<Row> = rows.collect();
        let owned = rows.pop();
        rows.into_iter()
            .filter(move |row| owned.as_ref().is_some_and(|owned| owned.value < 9 || row.value < 9))
    });
    owning.boxed()
}

const ACTIONS: &[(&str, Program)] = &[
    ("collect", |ctx, probe, _| probe.collect(&probe.rows(ctx), value)),
    ("count", |ctx, probe, _| probe.number(probe.rows(ctx).filter(|row| row.value > 1).count())),
    ("take", |ctx, probe, _| probe.many(probe.rows(ctx).take(3))),
    ("first", |ctx, probe, _| probe.one(probe.rows(ctx).first())),
    ("is_empty", |ctx, probe, _| probe.number(probe.rows(ctx).is_empty())),
    ("reduce", |ctx, probe, _| probe.one(probe.rows(ctx).reduce(larger))),
    ("fold", |ctx, probe, _| probe.one(probe.rows(ctx).fold(probe.row(0), larger).map(Some))),
    ("aggregate", |ctx, probe, _| {
        let all = probe.rows(ctx).aggregate(probe.row(0), larger, larger);
        probe.one(all.map(Some))
    }),
    ("min", |ctx, probe, _| probe.one(probe.rows(ctx).min())),
    ("max", |ctx, probe, _| probe.one(probe.rows(ctx).max())),
    ("min_by_key", |ctx, probe, _| probe.one(probe.rows(ctx).min_by_key(Row::clone))),
    ("max_by_key", |ctx, probe, _| probe.one(probe.rows(ctx).max_by_key(Row::clone))),
    ("top", |ctx, probe, _| probe.many(probe.rows(ctx).top(2))),
    ("take_ordered", |ctx, probe, _| probe.many(probe.rows(ctx).take_ordered(2))),
    ("top_by_key", |ctx, probe, _| probe.many(probe.rows(ctx).top_by_key(2, Row::clone))),
    ("bottom_by_key", |ctx, probe, _| probe.many(probe.rows(ctx).bottom_by_key(2, Row::clone))),
    ("for_each", |ctx, probe, _| {
        let captured = probe.row(1);
        let seen = ctx.accumulator(0_u64);
        let adds = seen.clone();
        let ended = probe.rows(ctx).for_each(move |row| adds.add(row.value * captured.value));
        probe.stop();
        ended.map(|()| vec![vec![seen.value()]])
    }),
    ("for_each_partition", |ctx, probe, _| {
        let ended = probe.rows(ctx).for_each_partition(|rows| rows.for_each(drop));
        probe.stop();
        ended.map(|()| Vec::new())
    }),
    ("count_by_value", |ctx, probe, _| {
        let counts = probe.rows(ctx).count_by_value();
        probe.stop();
        Ok(counts?.iter().map(|(row, count)| vec![row.value, *count]).collect())
    }),
    ("count_by_key", |ctx, probe, _| {
        let counts = probe.pairs(ctx).count_by_key();
        probe.stop();
        Ok(counts?.iter().map(|(row, count)| vec![row.value, *count]).collect())
    }),
    ("collect_as_map", |ctx, probe, _| {
        let map = probe.pairs(ctx).collect_as_map();
        probe.stop();
        Ok(map?.iter().map(|(key, value)| vec![key.value, value.value]).collect())
    }),
    ("lookup", |ctx, probe, _| {
        let key = probe.row(3);
        let found = probe.pairs(ctx).lookup(&key);
        probe.many(found)
    }),
    ("lookup of a partitioned key", |ctx, probe, _| {
        let key = probe.row(3);
        let found = probe.pairs(ctx).partition_by(3).lookup(&key);
        probe.many(found)
    }),
    ("lookup of a sorted key", |ctx, probe, _| {
        let key = probe.row(3);
        let found = probe.pairs(ctx).sort_pairs().lookup(&key);
        probe.many(found)
    }),
    ("to_local_iterator", |ctx, probe, _| {
        let rows: Result<Vec<Row>> = probe.rows(ctx).to_local_iterator().collect();
        probe.many(rows)
    }),
    ("save_as_text_file", |ctx, probe, folder| {
        let path = folder.join("text");
        let saved = probe.rows(ctx).map(Shown).save_as_text_file(&path);
        probe.stop();
        assert_eq!(saved.is_ok(), path.exists(), "an output is complete or missing");
        saved.map(|()| Vec::new())
    }),
    ("checkpoint", |ctx, probe, folder| {
        let path = folder.join("checkpoint");
        let saved = probe.rows(ctx).checkpoint(&path);
        assert_eq!(saved.is_ok(), path.exists(), "a checkpoint is complete or missing");
        probe.collect(&saved?, value)
    }),
    ("local_checkpoint", |ctx, probe, _| {
        let saved = probe.rows(ctx).local_checkpoint()?;
        probe.collect(&saved, value)
    }),
    ("spawn", |ctx, probe, _| {
        let rows = probe.rows(ctx);
        let captured = probe.row(1);
        let rows = ctx.spawn(move || {
            let _ = captured.value;
            rows.collect()
        });
        probe.many(rows.wait())
    }),
    ("an accumulator", |ctx, probe, _| {
        let seen = ctx.accumulator(Vec::new());
        let adds = seen.clone();
        let ended = probe.rows(ctx).for_each(move |row| adds.add(row));
        probe.stop();
        ended.map(|()| seen.value().iter().map(value).collect())
    }),
    ("an accumulator before a shuffle", |ctx, probe, _| {
        let seen = ctx.accumulator(Vec::new());
        let adds = seen.clone();
        let counts = probe.rows(ctx).map(move |row| {
            adds.add(row.clone());
            (row.value, 1_u64)
        });
        let counted = counts.reduce_by_key(|a, b| a + b).count();
        probe.stop();
        counted.map(|_| seen.value().iter().map(value).collect())
    }),
];

const NARROW: &[(&str, Program)] = &[
    ("map", |ctx, probe, _| probe.collect(&probe.rows(ctx).map(|row| row.clone()), value)),
    ("filter", |ctx, probe, _| {
        let bound = probe.row(2);
        probe.collect(&probe.rows(ctx).filter(move |row| *row >= bound), value)
    }),
    ("flat_map", |ctx, probe, _| {
        probe.collect(&probe.rows(ctx).flat_map(|row| [row.clone(), row]), value)
    }),
    ("flat_map_into", |ctx, probe, _| {
        let twice = probe.rows(ctx).flat_map_into(|row, out| {
            out.push(row.clone());
            out.push(row);
        });
        probe.collect(&twice, value)
    }),
    ("map_partitions", |ctx, probe, _| {
        let sorted = probe.rows(ctx).map_partitions(|rows| {
            let mut rows: Vec<Row> = rows.collect();
            rows.sort();
            rows
        });
        probe.collect(&sorted, value)
    }),
    ("glom", |ctx, probe, _| probe.collect(&probe.rows(ctx).glom(), |rows| values(rows).collect())),
    ("zip", |ctx, probe, _| probe.collect(&probe.rows(ctx).zip(&probe.rows(ctx)), pair)),
    ("union", |ctx, probe, _| probe.collect(&probe.rows(ctx).union(&probe.rows(ctx)), value)),
    ("sample_with_replacement", |ctx, probe, _| {
        probe.collect(&probe.rows(ctx).sample_with_replacement(2.0, 7), value)
    }),
    ("coalesce", |ctx, probe, _| probe.collect(&probe.rows(ctx).coalesce(1), value)),
    ("boxed refs", |ctx, probe, _| {
        probe.collect(&probe.rows(ctx).refs().map(|row| row.clone()), value)
    }),
    ("with", |ctx, probe, _| {
        let bound = probe.row(2);
        probe.collect(&probe.rows(ctx).with(bound).filter(|bound, row| row > bound), value)
    }),
    ("an iterator that owns a row", |ctx, probe, _| {
        probe.collect(&owning_iterators(&probe.rows(ctx)), value)
    }),
    ("a stored iterator that owns a row", |ctx, probe, _| {
        let stored = owning_iterators(&probe.rows(ctx)).cache();
        stored.count()?;
        probe.collect(&stored, value)
    }),
    ("an iterator that owns a row, stored on disk", |ctx, probe, _| {
        let stored = owning_iterators(&probe.rows(ctx)).persist(StorageLevel::Disk);
        stored.count()?;
        probe.collect(&stored, value)
    }),
    ("an iterator that owns a row, stored serialized", |ctx, probe, _| {
        let stored = owning_iterators(&probe.rows(ctx)).persist(StorageLevel::SerializedMemory);
        stored.count()?;
        probe.collect(&stored, value)
    }),
    ("key_by", |ctx, probe, _| probe.collect(&probe.rows(ctx).key_by(Row::clone), pair)),
    ("memory", |ctx, probe, _| stored(ctx, probe, StorageLevel::Memory)),
    ("memory and disk", |ctx, probe, _| stored(ctx, probe, StorageLevel::MemoryAndDisk)),
    ("disk", |ctx, probe, _| stored(ctx, probe, StorageLevel::Disk)),
    ("serialized", |ctx, probe, _| stored(ctx, probe, StorageLevel::SerializedMemory)),
];

const WIDE: &[(&str, Program)] = &[
    ("distinct", |ctx, probe, _| probe.collect(&probe.rows(ctx).distinct(), value)),
    ("intersection", |ctx, probe, _| {
        probe.collect(&probe.rows(ctx).intersection(&probe.rows(ctx)), value)
    }),
    ("subtract", |ctx, probe, _| {
        let two = probe.rows(ctx).filter(|row| row.value == 2);
        probe.collect(&probe.rows(ctx).subtract(&two), value)
    }),
    ("group_by", |ctx, probe, _| probe.collect(&probe.rows(ctx).group_by(Row::clone), group)),
    ("repartition", |ctx, probe, _| probe.collect(&probe.rows(ctx).repartition(3), value)),
    ("sort_by_key", |ctx, probe, _| probe.collect(&probe.rows(ctx).sort_by_key(Row::clone), value)),
    ("sort_by", |ctx, probe, _| probe.collect(&probe.rows(ctx).sort_by(Row::cmp), value)),
    ("sort_pairs", |ctx, probe, _| probe.collect(&probe.pairs(ctx).sort_pairs(), pair)),
    ("reduce_by_key", |ctx, probe, _| probe.collect(&probe.pairs(ctx).reduce_by_key(larger), pair)),
    ("fold_by_key", |ctx, probe, _| {
        probe.collect(&probe.pairs(ctx).fold_by_key(probe.row(0), larger), pair)
    }),
    ("aggregate_by_key", |ctx, probe, _| {
        let all = probe.pairs(ctx).aggregate_by_key(probe.row(0), larger, larger);
        probe.collect(&all, pair)
    }),
    ("combine_by_key", |ctx, probe, _| {
        let add = |mut rows: Vec<Row>, row| {
            rows.push(row);
            rows
        };
        let join = |mut rows: Vec<Row>, mut more| {
            rows.append(&mut more);
            rows
        };
        probe.collect(&probe.pairs(ctx).combine_by_key(|row| vec![row], add, join), group)
    }),
    ("group_by_key", |ctx, probe, _| probe.collect(&probe.pairs(ctx).group_by_key(), group)),
    ("group_by_key_iter", |ctx, probe, _| {
        let groups = probe.pairs(ctx).group_by_key_iter();
        probe.collect(
            &groups.map(|(key, rows)| (key, rows.into_iter().collect::<Vec<Row>>())),
            group,
        )
    }),
    ("group_sorted_by_key", |ctx, probe, _| {
        probe.collect(&probe.pairs(ctx).group_sorted_by_key(Row::clone), group)
    }),
    ("join", |ctx, probe, _| {
        let joined = probe.pairs(ctx).join(&probe.pairs(ctx));
        probe.collect(&joined, |(key, (a, b))| vec![key.value, a.value, b.value])
    }),
    ("full_outer_join", |ctx, probe, _| {
        let few = probe.pairs(ctx).filter(|(key, _)| key.value == 3);
        let joined = probe.pairs(ctx).full_outer_join(&few);
        probe.collect(&joined, |(key, (a, b))| {
            [key.value]
                .into_iter()
                .chain([a, b].into_iter().flatten().map(|row| row.value))
                .collect()
        })
    }),
    ("cogroup", |ctx, probe, _| {
        let groups = probe.pairs(ctx).cogroup(&probe.pairs(ctx));
        probe.collect(&groups, |(key, (a, b))| {
            [key.value].into_iter().chain(values(a)).chain(values(b)).collect()
        })
    }),
    ("broadcast_join", |ctx, probe, _| {
        let joined = probe.pairs(ctx).broadcast_join(&probe.pairs(ctx));
        probe.collect(&joined, |(key, (a, b))| vec![key.value, a.value, b.value])
    }),
    ("subtract_by_key", |ctx, probe, _| {
        let two = probe.pairs(ctx).filter(|(key, _)| key.value == 2);
        probe.collect(&probe.pairs(ctx).subtract_by_key(&two), pair)
    }),
    ("partition_by", |ctx, probe, _| probe.collect(&probe.pairs(ctx).partition_by(3), pair)),
    ("repartition_and_sort_within_partitions", |ctx, probe, _| {
        probe.collect(&probe.pairs(ctx).repartition_and_sort_within_partitions(3), pair)
    }),
    ("a cached shuffle", |ctx, probe, _| {
        let cached = probe.pairs(ctx).reduce_by_key(larger).cache();
        cached.count()?;
        probe.collect(&cached, pair)
    }),
    ("a shuffle that two actions read", |ctx, probe, _| {
        let groups = probe.pairs(ctx).group_by_key();
        groups.count()?;
        probe.collect(&groups, group)
    }),
];

/// The ways to run a program.
#[derive(Clone, Copy, Debug)]
struct Setting {
    threads: usize,
    spills: bool,
    task_memory_bytes: u64,
    max_attempts: usize,
    copies: usize,
}

static SETTINGS: [Setting; 3] = [
    Setting { threads: 1, spills: false, task_memory_bytes: 1 << 20, max_attempts: 1, copies: 1 },
    Setting { threads: 2, spills: true, task_memory_bytes: 1 << 20, max_attempts: 1, copies: 1 },
    Setting { threads: 2, spills: true, task_memory_bytes: 1 << 12, max_attempts: 2, copies: 20 },
];

impl Setting {
    /// Returns the next call to try after call `at`: with few rows nearly every one, with many rows a few.
    fn next_call(self, at: usize) -> usize {
        match self.copies {
            1 => at + 1 + at / scaled(4),
            _ => at + 1 + 3 * at / scaled(1),
        }
    }

    fn context(self, scratch: &Path) -> Context {
        let builder = Context::builder().threads(self.threads).force_spill(self.spills);
        let builder = builder.task_memory_bytes(self.task_memory_bytes).scratch_dir(scratch);
        builder.max_attempts(self.max_attempts).default_partitions(2).build().unwrap()
    }
}

/// Runs a program in which `method` panics. Returns its answer, sorted, and whether it reached the call.
fn run(
    ctx: &Context,
    program: Program,
    copies: usize,
    method: Method,
    when: When,
) -> (Answer, bool) {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::new(method, when, copies);
    let run = || program(ctx, &probe, folder.path());
    let answer = catch_unwind(AssertUnwindSafe(run));
    let has_reached = probe.calls.load(SeqCst) % STOPPED >= when.first();
    let Ok(answer) = answer else { panic!("a panic escaped") };
    let sorted = answer.map(|rows| rows.into_iter().collect::<BTreeSet<_>>().into_iter().collect());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.len() <= 1, "staging directories are left: {left:?}");
    (sorted, has_reached)
}

/// Returns the result of a job with a shuffle: 9.
fn next_job(ctx: &Context) -> u64 {
    let sums = ctx.range(0..6_u64).map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b);
    sums.collect_as_map().unwrap()[&1]
}

/// Checks a program at every call of every method, or at some of many calls in a short run.
fn check(ctx: &Context, scratch: &Path, setting: Setting, name: &str, program: Program) -> usize {
    let never = When::At(STOPPED / 2);
    let (right, _) = run(ctx, program, setting.copies, Method::Debug, never);
    let right = match right {
        Ok(right) => right,
        Err(error) if matches!(error.kind(), ErrorKind::BroadcastTooLarge { .. }) => return 0,
        Err(error) => panic!("{name}, {setting:?}: {error}"),
    };
    assert_eq!(next_job(ctx), 9, "also makes the scratch directory");
    let files_before = files(scratch);
    let mut failed = 0;
    let check_one = |method, when: When| {
        let what = format!("{name}, {method:?} panics {when:?}, {setting:?}");
        let run = || run(ctx, program, setting.copies, method, when);
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let Ok((answer, has_reached)) = outcome else { panic!("{what}: see above") };
        match &answer {
            Ok(rows) => assert_eq!(*rows, right, "{what}"),
            Err(error) => {
                assert!(has_reached, "{what}: {error}");
                let text = format!("{error} {:?}", error.kind());
                assert!(text.contains(MESSAGE), "{what}: {text}");
            }
        }
        eventually(&format!("{what}: freed memory"), || ctx.memory_used_bytes() == 0);
        eventually(&format!("{what}: deleted files"), || files(scratch) == files_before);
        assert_eq!(next_job(ctx), 9, "{what}");
        (has_reached, answer.is_err())
    };
    for method in METHODS {
        let mut at = 1;
        loop {
            let (has_reached, has_failed) = check_one(method, When::At(at));
            failed += usize::from(has_failed);
            if !has_reached {
                break;
            }
            if method == Method::Drop {
                failed += usize::from(check_one(method, When::From(at)).1);
            }
            at = setting.next_call(at);
        }
    }
    failed
}

fn check_all(
    settings: &'static [Setting],
    programs: &'static [(&str, Program)],
    min_failed: usize,
) {
    within(Duration::from_mins(3), move || {
        let mut failed = 0;
        for setting in settings {
            let scratch = tempfile::tempdir().unwrap();
            let ctx = setting.context(scratch.path());
            for (name, program) in programs {
                failed += check(&ctx, scratch.path(), *setting, name, *program);
            }
            drop(ctx);
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
        assert!(failed >= min_failed, "only {failed} actions failed");
    });
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn an_action_returns_an_error_whichever_method_of_a_row_panics() {
    check_all(&SETTINGS[..2], ACTIONS, 200);
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn a_narrow_operation_or_stored_rows_that_panic_fail_only_their_action() {
    check_all(&SETTINGS[..2], NARROW, 100);
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn a_shuffle_of_rows_that_panic_fails_only_its_action() {
    check_all(&SETTINGS, WIDE, 300);
}

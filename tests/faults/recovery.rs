//! Recovery from damaged map outputs continues as long as it makes progress: as long as an attempt of a stage finds an
//! output lost that it had not found lost before.
//!
//! The named samples come first. The generator damages random sets of the files of one to three shuffles, before an
//! action and while its tasks run, on one thread and several.

use emberline::event::Event;
use emberline::fault::{Damage, FaultPlan};
use emberline::id::ShuffleId;
use emberline::prelude::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use testkit::{DEADLINE, scaled, within};

const MAPS: usize = 8;

/// Makes a shuffle of eight map tasks, whose outputs are files, and four reduce tasks.
fn sums(ctx: &Context) -> Rdd<(u64, u64)> {
    let pairs = ctx.range_with(MAPS, 0..4000_u64).map(|n| (n % 100, n));
    pairs.with_partitions(4).reduce_by_key(|a, b| a + b)
}

/// The events of a context.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    fn count(&self, ctx: &Context, is_it: impl Fn(&Event) -> bool) -> usize {
        ctx.flush_listeners();
        self.0.lock().unwrap().iter().filter(|event| is_it(event)).count()
    }
}

/// Builds a context whose map outputs are files in `scratch`.
fn spilling(scratch: &Path, threads: usize, plan: FaultPlan) -> (Context, Seen) {
    let seen = Seen::default();
    let events = seen.clone();
    let builder = Context::builder().threads(threads).force_spill(true).scratch_dir(scratch);
    let listener = move |record: &emberline::event::EventRecord| {
        events.0.lock().unwrap().push(record.event.clone());
    };
    (builder.faults(plan.arm()).listener(listener).build().unwrap(), seen)
}

fn is_loss(event: &Event) -> bool {
    matches!(event, Event::OutputLost { .. })
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn a_flipped_bit_in_any_number_of_outputs_of_a_shuffle_is_recovered_in_one_attempt() {
    within(DEADLINE, || {
        for threads in [1, 4] {
            for damaged in 1..=MAPS {
                let corrupt = |plan: FaultPlan, map_partition| {
                    plan.damage_map_output(ShuffleId(0), map_partition, Damage::Corrupted)
                };
                let folder = tempfile::tempdir().unwrap();
                let plan = (0..damaged).fold(FaultPlan::new(), corrupt);
                let (ctx, seen) = spilling(folder.path(), threads, plan);
                let expected = sums(&Context::local().unwrap()).collect().unwrap();
                assert_eq!(sums(&ctx).collect().unwrap(), expected, "{damaged} damaged outputs");
                assert_eq!(seen.count(&ctx, is_loss), damaged);
                let restarts = |event: &Event| matches!(event, Event::StageStarted { attempt, .. } if *attempt > 0);
                let limit = if threads == 1 { 2 } else { 2 * damaged };
                assert!(seen.count(&ctx, restarts) <= limit, "the first damage reports the others");
            }
        }
    });
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn outputs_that_are_damaged_one_by_one_in_each_attempt_are_recovered() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let (ctx, seen) = spilling(folder.path(), 1, FaultPlan::new());
        let sums = sums(&ctx);
        let expected = sums.collect().unwrap();
        let files = Arc::new(Mutex::new(shuffle_files(folder.path())));
        assert_eq!(files.lock().unwrap().len(), MAPS);
        // Every attempt of a reduce task damages one more file before it reads.
        let (left, path) = (Arc::clone(&files), folder.path().to_path_buf());
        let damaging = ctx.range_with(1, 0..1_u64).map_partitions(move |rows| {
            let next = left.lock().unwrap().pop();
            next.iter().for_each(|file| damage(file, Way::Flip(0)));
            assert!(path.exists());
            rows.map(|n| (n, n))
        });
        let joined = sums.coalesce(1).zip_partitions(&damaging.coalesce(1), |sums, damaging| {
            damaging.count();
            sums.collect::<Vec<_>>()
        });
        assert_eq!(joined.collect().unwrap(), expected);
        assert_eq!(files.lock().unwrap().len(), 0, "one file an attempt");
        assert!(seen.count(&ctx, is_loss) >= MAPS - 1);
    });
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn an_output_that_is_damaged_again_and_again_still_ends_the_job() {
    within(DEADLINE, || {
        let folder = tempfile::tempdir().unwrap();
        let corrupt =
            |plan: FaultPlan, _| plan.damage_map_output(ShuffleId(0), 3, Damage::Corrupted);
        let others = (0..3).fold(FaultPlan::new(), |plan, map_partition| {
            plan.damage_map_output(ShuffleId(0), map_partition, Damage::Corrupted)
        });
        let (ctx, _) = spilling(folder.path(), 1, (0..4).fold(others, corrupt));
        let error = sums(&ctx).collect().unwrap_err();
        assert_eq!(
            (error.fetch_failure(), error.attempts()),
            (Some((ShuffleId(0), 3)), 4),
            "{error}"
        );
    });
}

/// Returns the files of map outputs below a folder, in an order that depends on their names.
fn shuffle_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if entry.file_name().to_string_lossy().starts_with("shuffle-") {
                found.insert(path);
            }
        }
    }
    found.into_iter().collect()
}

/// The ways to damage a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Flips a bit at this place, modulo the length.
    Flip(usize),
    Truncate,
    Remove,
}

/// Damages a file that may not exist any more, without changing its inode: a task may have it open.
fn damage(file: &Path, way: Way) {
    use std::os::unix::fs::FileExt;
    let open = || fs::OpenOptions::new().read(true).write(true).open(file);
    match way {
        Way::Remove => drop(fs::remove_file(file)),
        Way::Truncate => {
            let _ = open().and_then(|file| file.set_len(1));
        }
        Way::Flip(at) => {
            let Ok(open) = open() else { return };
            let bytes = open.metadata().unwrap().len() as usize;
            let (mut byte, at) = ([0], at % bytes.max(1));
            if open.read_at(&mut byte, at as u64).is_ok_and(|read| read == 1) {
                open.write_at(&[byte[0] ^ 1 << (at % 8)], at as u64).unwrap();
            }
        }
    }
}

fn ways() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => any::<usize>().prop_map(Way::Flip),
        1 => Just(Way::Truncate),
        1 => Just(Way::Remove),
    ]
}

/// A random program and its damage.
#[derive(Clone, Debug)]
struct Case {
    threads: usize,
    maps: usize,
    reduces: usize,
    /// The number of shuffles, one after the other.
    shuffles: usize,
    /// True if a second chain of shuffles is joined to the first.
    joins: bool,
    /// Damage before the action: the number of a file, modulo their number, and how.
    before: Vec<(usize, Way)>,
    /// Damage while tasks run: after how many rows of the last stage, and as above.
    during: Vec<(usize, usize, Way)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let before = prop::collection::vec((any::<usize>(), ways()), 0..12);
    let during = prop::collection::vec((0..600_usize, any::<usize>(), ways()), 0..12);
    let shape = (1..5_usize, 1..12_usize, 1..6_usize, 1..4_usize, any::<bool>());
    (shape, before, during).prop_map(
        |((threads, maps, reduces, shuffles, joins), before, during)| Case {
            threads,
            maps,
            reduces,
            shuffles,
            joins,
            before,
            during,
        },
    )
}

impl Case {
    /// Makes the program. `on_row` is called for each row of the last stage.
    fn program(
        &self,
        ctx: &Context,
        on_row: impl Fn() + Clone + Send + Sync + 'static,
    ) -> Rdd<(u64, u64)> {
        let chain = |seed: u64| {
            let mut rows = ctx
                .range_with(self.maps, 0..600_u64)
                .map(move |n| (n.wrapping_mul(seed) % 97, n))
                .boxed();
            for step in 0..self.shuffles as u64 {
                let sums = rows
                    .with_partitions(self.reduces + step as usize)
                    .reduce_by_key(u64::wrapping_add);
                rows = sums.map(move |(key, sum)| (key.wrapping_mul(31 + step) % 89, sum)).boxed();
            }
            rows
        };
        let all = match self.joins {
            true => chain(7).join(&chain(11)).map_values(|(left, right)| left ^ right).boxed(),
            false => chain(7).reduce_by_key(u64::wrapping_add).boxed(),
        };
        all.inspect(move |_| on_row()).boxed()
    }

    fn run(&self) -> std::result::Result<(), TestCaseError> {
        let expected = self.program(&Context::local().unwrap(), || ()).collect().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (ctx, seen) = spilling(folder.path(), self.threads, FaultPlan::new());
        let rows_seen = Arc::new(Mutex::new(None));
        let (counter, during) = (Arc::clone(&rows_seen), self.during.clone());
        let files: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let damaged = Arc::clone(&files);
        let program = self.program(&ctx, move || {
            let mut seen = counter.lock().unwrap();
            let Some(seen) = seen.as_mut() else { return };
            *seen += 1;
            let files = damaged.lock().unwrap();
            for (_, file, way) in during.iter().filter(|(at, ..)| at == seen) {
                files.get(file % files.len().max(1)).iter().for_each(|file| damage(file, *way));
            }
        });
        program.count().unwrap();
        let found = shuffle_files(folder.path());
        for (file, way) in self.before.iter().filter(|_| !found.is_empty()) {
            damage(&found[file % found.len()], *way);
        }
        *files.lock().unwrap() = found;
        *rows_seen.lock().unwrap() = Some(0);
        // Only files of the first action are damaged, so each output is lost once at most.
        let rows = program.collect();
        prop_assert_eq!(rows.map_err(|error| error.to_string()), Ok(expected));
        let restarted =
            |event: &Event| matches!(event, Event::StageStarted { attempt, .. } if *attempt > 0);
        let outputs = files.lock().unwrap().len();
        let losses = seen.count(&ctx, is_loss);
        prop_assert!(losses <= outputs, "{} of {} outputs", losses, outputs);
        let restarts = seen.count(&ctx, restarted);
        prop_assert!(restarts <= 4 * outputs, "{} attempts for {} outputs", restarts, outputs);
        Ok(())
    }
}

// Case R-B6 of tests/PROMISES.md.
#[test]
fn any_set_of_damaged_outputs_is_recovered_at_any_moment() {
    within(DEADLINE * 4, || {
        let config =
            Config { cases: scaled(60) as u32, failure_persistence: None, ..Config::default() };
        TestRunner::new(config).run(&cases(), |case| case.run()).unwrap();
    });
}

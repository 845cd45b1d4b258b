//! Helpers of these tests: the grid that runs a program in every configuration, rows of every shape, and
//! counted events.

use emberline::prelude::*;
use emberline::{
    ContextBuilder,
    event::{Event, EventRecord},
};
use std::any::type_name;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use testkit::{DEADLINE, within};

/// The numbers of partitions a program runs with.
pub const PARTITIONS: [usize; 4] = [1, 2, 3, 7];
/// The smallest memory limit that a context accepts.
pub const MIN_MEMORY_LIMIT_BYTES: u64 = 1 << 20;

/// The environment variable by which the rows of the tests of memory and spilling are multiplied
/// (`.ci/nightly` sets it).
const MEMORY_SCALE: &str = "EMBERLINE_TEST_MEMORY_SCALE";

/// Returns the multiple of the usual rows that the environment sets for the tests of memory and
/// spilling, else 1.
pub fn memory_scale() -> u32 {
    let scale = std::env::var(MEMORY_SCALE).ok();
    scale.map_or(1, |scale| {
        scale.parse::<u32>().expect("EMBERLINE_TEST_MEMORY_SCALE is a number").max(1)
    })
}

/// Runs a test that needs no grid under the usual deadline.
pub fn test(body: impl FnOnce() -> Result<()> + Send + 'static) {
    within(DEADLINE, body).unwrap();
}

/// Makes a context of two threads for tests that need no grid.
pub fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

/// A way to set up a context, and how a failure names it.
type Cell = (String, Context);

/// Makes the contexts of the grid: each number of threads with each way to store rows.
pub fn grid_cells() -> Vec<Cell> {
    grid_cells_with(|builder| builder)
}

/// Makes the contexts of the grid with more settings.
pub fn grid_cells_with(set: impl Fn(ContextBuilder) -> ContextBuilder) -> Vec<Cell> {
    let mut cells = Vec::new();
    for threads in [1, 4] {
        for (way, files, share) in WAYS {
            let builder = Context::builder().threads(threads).force_spill(files);
            let ctx = set(builder.task_memory_bytes(share)).build().unwrap();
            cells.push((format!("on {threads} threads, {way}"), ctx));
        }
    }
    cells
}

/// The ways to store rows: the name, true for spilled shuffles, and the task memory limit.
const WAYS: [(&str, bool, u64); 3] = [
    ("in memory", false, 64 << 20),
    ("through files", true, 64 << 20),
    ("in small runs", true, TINY_TASK_MEMORY_BYTES),
];

/// A task memory limit that 200 rows exceed: larger tables, sorts and groups become several runs.
pub const TINY_TASK_MEMORY_BYTES: u64 = 16 << 10;

/// Runs a program for each number of partitions and passes its answers in all cells to `look`.
pub fn grid<A>(
    cells: &[Cell],
    program: impl Fn(&Context, usize) -> Result<A>,
    mut look: impl FnMut(usize, Vec<(&str, A)>),
) {
    for partitions in PARTITIONS {
        let run = |(name, ctx): &'_ Cell| match program(ctx, partitions) {
            Ok(answer) => answer,
            Err(error) => panic!("in {partitions} partitions {name}: {error}"),
        };
        let answers = cells.iter().map(|cell| (cell.0.as_str(), run(cell)));
        look(partitions, answers.collect());
    }
}

/// Checks that the answer of a program equals the oracle in every cell of the grid.
pub fn check<A, F>(oracle: A, program: F)
where
    A: PartialEq + Debug + Send + 'static,
    F: Fn(&Context, usize) -> Result<A> + Send + 'static,
{
    within(DEADLINE, move || {
        grid(&grid_cells(), program, |partitions, answers| {
            for (cell, answer) in answers {
                assert_eq!(answer, oracle, "in {partitions} partitions {cell}");
            }
        });
    });
}

/// Checks that for each number of partitions the answer is the same, row by row, in every cell.
pub fn same_bytes<A, F>(program: F)
where
    A: PartialEq + Debug + Send + 'static,
    F: Fn(&Context, usize) -> Result<A> + Send + 'static,
{
    within(DEADLINE, move || {
        grid(&grid_cells(), program, |partitions, answers| same_answers(partitions, &answers));
    });
}

fn same_answers<A: PartialEq + Debug>(partitions: usize, answers: &[(&str, A)]) {
    let (first, expected) = &answers[0];
    for (cell, answer) in &answers[1..] {
        assert_eq!(answer, expected, "in {partitions} partitions {cell}, left, and {first}, right");
    }
}

/// Checks that the rows of a program are those of the oracle in some order, which is the same in
/// every cell.
pub fn check_rows<T, F>(oracle: Vec<T>, program: F)
where
    T: Ord + Debug + Send + 'static,
    F: Fn(&Context, usize) -> Result<Vec<T>> + Send + 'static,
{
    let oracle = sorted(oracle);
    within(DEADLINE, move || {
        grid(&grid_cells(), program, |partitions, mut answers| {
            same_answers(partitions, &answers);
            let (cell, rows) = answers.remove(0);
            assert_eq!(sorted(rows), oracle, "in {partitions} partitions {cell}");
        });
    });
}

/// Checks rows like [`check_rows`], with a memory limit that spills map outputs. The order is that
/// of a run with enough memory.
pub fn check_short_of_memory<T, F>(oracle: Vec<T>, program: F)
where
    T: Ord + Debug + Send + 'static,
    F: Fn(&Context, usize) -> Result<Vec<T>> + Send + 'static,
{
    let oracle = sorted(oracle);
    within(DEADLINE, move || {
        let spilled = Counter::default();
        let small = |threads| {
            let builder =
                Context::builder().threads(threads).memory_limit_bytes(MIN_MEMORY_LIMIT_BYTES);
            // The answers are larger than that: they are the test's own.
            let builder = builder.max_result_bytes(u64::MAX);
            (format!("with little memory on {threads} threads"), spilled.listen(builder))
        };
        let roomy = ("with enough memory".to_string(), context());
        grid(&[small(1), small(4), roomy], program, |partitions, mut answers| {
            same_answers(partitions, &answers);
            assert_eq!(sorted(answers.remove(0).1), oracle, "in {partitions} partitions");
        });
        assert!(spilled.counts().bytes_spilled > 0, "everything fitted the memory limit");
    });
}

/// The counts of events of some contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub jobs: usize,
    pub stages: usize,
    pub skipped: usize,
    pub tasks: usize,
    pub rows_written: u64,
    pub bytes_spilled: u64,
}

/// Counts the events of the contexts it listens to.
#[derive(Clone, Default)]
pub struct Counter(Arc<Mutex<(Counts, Vec<Context>)>>);

impl Counter {
    /// Builds a context that is counted.
    pub fn listen(&self, builder: ContextBuilder) -> Context {
        let shared = Arc::downgrade(&self.0);
        let listener = move |record: &EventRecord| {
            if let Some(shared) = shared.upgrade() {
                count(&mut shared.lock().unwrap().0, &record.event);
            }
        };
        let ctx = builder.listener(listener).build().unwrap();
        self.0.lock().unwrap().1.push(ctx.clone());
        ctx
    }

    /// Returns the counts so far.
    pub fn counts(&self) -> Counts {
        let contexts = self.0.lock().unwrap().1.clone();
        contexts.iter().for_each(Context::flush_listeners);
        self.0.lock().unwrap().0
    }

    /// Returns the counts of the events while `body` runs.
    pub fn during<A>(&self, body: impl FnOnce() -> A) -> (A, Counts) {
        let before = self.counts();
        let answer = body();
        let after = self.counts();
        let counts = Counts {
            jobs: after.jobs - before.jobs,
            stages: after.stages - before.stages,
            skipped: after.skipped - before.skipped,
            tasks: after.tasks - before.tasks,
            rows_written: after.rows_written - before.rows_written,
            bytes_spilled: after.bytes_spilled - before.bytes_spilled,
        };
        (answer, counts)
    }
}

fn count(counts: &mut Counts, event: &Event) {
    match event {
        Event::JobStarted { .. } => counts.jobs += 1,
        Event::StageStarted { .. } => counts.stages += 1,
        Event::StageSkipped { .. } => counts.skipped += 1,
        Event::TaskFinished { metrics, .. } => {
            counts.tasks += 1;
            counts.rows_written += metrics.rows_written;
            counts.bytes_spilled += metrics.bytes_spilled;
        }
        _ => {}
    }
}

/// Returns the rows in order.
pub fn sorted<T: Ord>(mut rows: Vec<T>) -> Vec<T> {
    rows.sort();
    rows
}

/// Returns the rows of each partition.
pub fn glom<T: Send + 'static>(rdd: &Rdd<T>) -> Result<Vec<Vec<T>>> {
    rdd.map_partitions(|rows| [rows.collect::<Vec<T>>()]).collect()
}

/// Returns the number of rows of each partition.
pub fn sizes<T: Send + 'static>(rdd: &Rdd<T>) -> Result<Vec<usize>> {
    rdd.map_partitions(|rows| [rows.count()]).collect()
}

/// Numbers without a pattern: splitmix64.
pub fn noise(n: u64) -> u64 {
    let mut mixed = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Returns pairs in shapes that have caused bugs: no row, fewer rows than partitions, one key,
/// all keys distinct, equal rows, a few keys, one key with nearly all rows.
pub fn shapes() -> Vec<Vec<(i64, i64)>> {
    let value = |n: i64| noise(n as u64) as i64 % 1000;
    let keyed = |rows: i64, key: fn(i64) -> i64| (0..rows).map(move |n| (key(n), value(n)));
    vec![
        Vec::new(),
        vec![(7, 1)],
        vec![(7, 1), (-7, 2)],
        keyed(200, |_| 42).collect(),
        keyed(200, |n| n * 1_000_003).collect(),
        vec![(i64::MIN, i64::MAX); 50],
        keyed(500, |n| noise(n as u64) as i64 % 17).collect(),
        keyed(500, |n| if n % 50 == 0 { n } else { 0 }).collect(),
    ]
}

/// Makes an RDD of the rows. If there are seven or more partitions, every second one is empty.
pub fn spread<T>(ctx: &Context, partitions: usize, rows: &[T]) -> Rdd<T>
where
    T: Clone + Send + Sync + 'static,
{
    if partitions < 7 {
        return ctx.parallelize_with(partitions, rows.to_vec()).boxed();
    }
    let rows = Arc::new(rows.to_vec());
    ctx.generate(partitions, move |partition| {
        let cut = |n: usize| rows.len() * n / 3;
        let piece =
            if partition % 2 == 1 { cut(partition / 2)..cut(partition / 2 + 1) } else { 0..0 };
        rows[piece].to_vec()
    })
    .boxed()
}

/// A key whose hash is the same for all values, so that only equality separates them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct OneHash(pub i64);

impl Hash for OneHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(1);
    }
}

/// Returns the error of `answer`, and panics if `wanted` does not accept its kind.
#[track_caller]
pub fn assert_kind<A: Debug>(answer: Result<A>, wanted: impl FnOnce(&ErrorKind) -> bool) -> Error {
    match answer {
        Ok(answer) => panic!("expected an error, not {answer:?} of {}", type_name::<A>()),
        Err(error) if wanted(error.kind()) => error,
        Err(error) => panic!("not the expected kind: {error}"),
    }
}

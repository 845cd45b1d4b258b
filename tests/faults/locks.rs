//! Rows whose methods call back into the context: no engine lock is held while code of a user runs.
//!
//! Random programs read rows from every kind of store, through operations and actions, with retries, cancelled jobs,
//! lost outputs and evicted blocks. Every method of a row checks that its thread holds no engine lock, and then
//! calls the context.

use crate::hooked::{Hook, Method, Row};
use emberline::accumulator::Accumulator;
use emberline::config::Speculation;
use emberline::disk::{Access, Disk, DiskReader, DiskWriter, RealDisk};
use emberline::event::{EventRecord, Listener};
use emberline::fault::{Damage, FaultPlan};
use emberline::id::{RddId, ShuffleId};
use emberline::prelude::*;
use emberline::{Partitioner, StorageLevel};
use emberline_core::disk::DiskLock;
use emberline_core::sync::held_locks;
use proptest::prelude::*;
use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;
use testkit::{DEADLINE, scaled, within};

/// The places at which user code ran under an engine lock.
type Found = Arc<Mutex<Vec<String>>>;

/// Records that user code runs under an engine lock, with the stack of the first time.
fn check(found: &Found, what: impl fmt::Debug) {
    let locks = held_locks();
    if locks > 0 {
        let mut found = found.lock().unwrap();
        if found.len() < 3 {
            found.push(format!("{what:?} under {locks} locks\n{}", Backtrace::force_capture()));
        }
    }
}

fn assert_none(found: &Found, what: impl fmt::Debug) {
    let found = found.lock().unwrap();
    assert!(found.is_empty(), "{what:?}: {}", found.join("\n"));
}

/// The disk, with a check for locks in every method.
struct CheckedDisk(RealDisk, Found);

impl CheckedDisk {
    fn disk(&self, method: &str) -> &RealDisk {
        check(&self.1, method);
        &self.0
    }
}

impl Disk for CheckedDisk {
    fn create_dir(&self, path: &Path, access: Access) -> io::Result<()> {
        self.disk("create_dir").create_dir(path, access)
    }

    fn create(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskWriter>> {
        let writer = self.disk("create").create(path, access)?;
        Ok(Box::new(CheckedFile(writer, Arc::clone(&self.1))))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskReader>> {
        let reader = self.disk("open").open(path)?;
        Ok(Box::new(CheckedFile(reader, Arc::clone(&self.1))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk("rename").rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_file").remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_dir").remove_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk("remove_dir_all").remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk("sync_dir").sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk("list").list(path)
    }

    fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        self.disk("is_own_dir").is_own_dir(path)
    }

    fn create_lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk("create_lock").create_lock(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk("try_lock").try_lock(path)
    }
}

/// An open file, with a check for locks in every method.
struct CheckedFile<F>(F, Found);

impl<F> Drop for CheckedFile<F> {
    fn drop(&mut self) {
        check(&self.1, "drop of a file");
    }
}

impl DiskWriter for CheckedFile<Box<dyn DiskWriter>> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        check(&self.1, "append");
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        check(&self.1, "sync");
        self.0.sync()
    }
}

impl DiskReader for CheckedFile<Box<dyn DiskReader>> {
    fn len(&self) -> io::Result<u64> {
        check(&self.1, "len");
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check(&self.1, "read_at");
        self.0.read_at(offset, buf)
    }
}

/// A row with a large payload, so that a few rows fill the memory.
type Large = (Row, Vec<u8>);

type Source = fn(&Context, &Arc<Hook>, usize) -> Rdd<Row>;
type Operation = fn(&Rdd<Row>) -> Rdd<Row>;
type Action = fn(&Rdd<Row>, &Path) -> Result<u64>;

fn plain(ctx: &Context, hook: &Arc<Hook>, rows: usize) -> Rdd<Row> {
    let rows: Vec<Row> = (0..rows as u64).map(|n| hook.row(n % 5)).collect();
    ctx.parallelize_with(3, rows).boxed()
}

fn large(ctx: &Context, hook: &Arc<Hook>, rows: usize) -> Rdd<Large> {
    plain(ctx, hook, rows).map(|row| (row, vec![0_u8; 20_000])).boxed()
}

fn stored(ctx: &Context, hook: &Arc<Hook>, rows: usize, level: StorageLevel) -> Rdd<Row> {
    let stored = plain(ctx, hook, rows).persist(level);
    let _ = stored.count();
    stored
}

/// Returns stored rows, of which another stored RDD has evicted some.
fn evicted(ctx: &Context, hook: &Arc<Hook>, rows: usize, level: StorageLevel) -> Rdd<Row> {
    let stored = large(ctx, hook, rows.max(60)).persist(level);
    let _ = stored.count();
    let other = large(ctx, hook, rows.max(60)).persist(level);
    let _ = other.count();
    stored.map(|(row, _)| row).boxed()
}

const SOURCES: [(&str, Source); 14] = [
    ("plain", plain),
    ("made in tasks", |ctx, hook, rows| {
        let hook = Arc::clone(hook);
        ctx.range_with(3, 0..rows as u64).map(move |n| hook.row(n % 5)).boxed()
    }),
    ("memory", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::Memory)),
    ("memory and disk", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::MemoryAndDisk)),
    ("disk", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::Disk)),
    ("serialized", |ctx, hook, rows| stored(ctx, hook, rows, StorageLevel::SerializedMemory)),
    ("serialized and disk", |ctx, hook, rows| {
        stored(ctx, hook, rows, StorageLevel::SerializedMemoryAndDisk)
    }),
    ("stored by the action", |ctx, hook, rows| plain(ctx, hook, rows).cache()),
    ("unpersisted", |ctx, hook, rows| {
        let stored = stored(ctx, hook, rows, StorageLevel::Memory);
        stored.unpersist();
        stored
    }),
    ("evicted", |ctx, hook, rows| evicted(ctx, hook, rows, StorageLevel::Memory)),
    ("evicted to disk", |ctx, hook, rows| evicted(ctx, hook, rows, StorageLevel::MemoryAndDisk)),
    ("evicted serialized", |ctx, hook, rows| {
        evicted(ctx, hook, rows, StorageLevel::SerializedMemoryAndDisk)
    }),
    ("a local checkpoint", |ctx, hook, rows| {
        let rows = plain(ctx, hook, rows);
        rows.local_checkpoint().unwrap_or(rows)
    }),
    ("a shuffle that was read", |ctx, hook, rows| {
        let shuffled = plain(ctx, hook, rows).repartition(3);
        let _ = shuffled.count();
        shuffled
    }),
];

fn pairs(rows: &Rdd<Row>) -> Rdd<(Row, Row)> {
    rows.map(|row| (row.clone(), row)).boxed()
}

fn larger(a: Row, b: Row) -> Row {
    if a < b { b } else { a }
}

fn append(mut rows: Vec<Row>, row: Row) -> Vec<Row> {
    rows.push(row);
    rows
}

fn join(mut rows: Vec<Row>, more: Vec<Row>) -> Vec<Row> {
    rows.extend(more);
    rows
}

/// A partitioner with a row, whose methods are called.
struct ByRow(Row);

impl Partitioner<Row> for ByRow {
    fn partitions(&self) -> usize {
        3
    }

    fn partition_of(&self, key: &Row) -> usize {
        usize::from(*key > self.0)
    }

    fn same_as(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<ByRow>().is_some_and(|other| other.0 == self.0)
    }
}

/// An error with a row, which is displayed.
#[derive(Debug)]
struct Refused(Row);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Refused {}

const OPERATIONS: [(&str, Operation); 40] = [
    ("nothing", Rdd::clone),
    ("map", |rows| rows.map(|row| row.clone()).boxed()),
    ("filter", |rows| rows.filter(|row| row.value != 1).boxed()),
    ("flat_map", |rows| rows.flat_map(|row| [row.clone(), row]).boxed()),
    ("map_partitions", |rows| rows.map_partitions(|rows| rows.collect::<Vec<_>>()).boxed()),
    ("glom", |rows| rows.glom().flat_map(|rows| rows).boxed()),
    ("zip", |rows| rows.zip(rows).map(|(a, b)| larger(a, b)).boxed()),
    ("union", |rows| rows.union(rows).boxed()),
    ("sample", |rows| rows.sample(0.5, 7).boxed()),
    ("sample_with_replacement", |rows| rows.sample_with_replacement(1.5, 7).boxed()),
    ("coalesce", |rows| rows.coalesce(2).boxed()),
    ("refs", |rows| rows.refs().map(|row| row.clone()).boxed()),
    ("cache", |rows| rows.cache()),
    ("distinct", |rows| rows.distinct()),
    ("intersection", |rows| rows.intersection(rows)),
    ("subtract", |rows| rows.subtract(&rows.filter(|row| row.value == 1))),
    ("group_by", |rows| rows.group_by(Row::clone).flat_map(|(_, rows)| rows).boxed()),
    ("repartition", |rows| rows.repartition(4)),
    ("sort_by_key", |rows| rows.sort_by_key(Row::clone)),
    ("sort_by", |rows| rows.sort_by(|a, b| b.cmp(a))),
    ("sort_pairs", |rows| pairs(rows).sort_pairs().values().boxed()),
    ("reduce_by_key", |rows| pairs(rows).reduce_by_key(larger).keys().boxed()),
    ("aggregate_by_key", |rows| {
        pairs(rows).aggregate_by_key(Vec::new(), append, join).flat_map(|(_, rows)| rows).boxed()
    }),
    ("combine_by_key", |rows| {
        let combined = pairs(rows).combine_by_key(|row| vec![row], append, join);
        combined.flat_map(|(_, rows)| rows).boxed()
    }),
    ("group_by_key", |rows| pairs(rows).group_by_key().flat_map(|(_, rows)| rows).boxed()),
    ("group_by_key_iter", |rows| {
        pairs(rows).group_by_key_iter().flat_map(|(_, rows)| rows.into_iter()).boxed()
    }),
    ("group_sorted_by_key", |rows| {
        pairs(rows).group_sorted_by_key(Row::clone).flat_map(|(_, rows)| rows).boxed()
    }),
    ("join", |rows| pairs(rows).join(&pairs(rows)).map(|(_, (a, _))| a).boxed()),
    ("full_outer_join", |rows| {
        let joined = pairs(rows).full_outer_join(&pairs(&rows.filter(|row| row.value > 1).boxed()));
        joined.keys().boxed()
    }),
    ("cogroup", |rows| {
        pairs(rows).cogroup(&pairs(rows)).flat_map(|(_, (a, b))| join(a, b)).boxed()
    }),
    ("cogroup_iter", |rows| {
        let groups = pairs(rows).cogroup_iter(&pairs(rows));
        groups.flat_map(|(_, (a, b))| a.into_iter().chain(b).collect::<Vec<_>>()).boxed()
    }),
    ("broadcast_join", |rows| pairs(rows).broadcast_join(&pairs(rows)).keys().boxed()),
    ("broadcast_left_outer_join", |rows| {
        pairs(rows).broadcast_left_outer_join(&pairs(rows)).keys().boxed()
    }),
    ("subtract_by_key", |rows| {
        let few = pairs(&rows.filter(|row| row.value > 2).boxed());
        pairs(rows).subtract_by_key(&few).values().boxed()
    }),
    ("try_map", |rows| {
        let refuse = |row: Row| if row.value == 4 { Err(Refused(row).into()) } else { Ok(row) };
        rows.try_map(refuse).boxed()
    }),
    ("captured rows", |rows| {
        let Ok(Some(bound)) = rows.first() else { return rows.clone() };
        let other = bound.clone();
        rows.filter(move |row| *row >= bound).with(other).filter(|other, row| row >= other).boxed()
    }),
    ("partition_by a partitioner", |rows| {
        let Ok(Some(bound)) = rows.first() else { return rows.clone() };
        let by = || Arc::new(ByRow(bound.clone()));
        pairs(rows).partition_by(by()).join(&pairs(rows).partition_by(by())).keys().boxed()
    }),
    ("a panic", |rows| {
        let panics = rows.map(|row| {
            if row.value == 3 {
                resume_unwind(Box::new(row.clone()));
            }
            row
        });
        panics.boxed()
    }),
    ("partition_by", |rows| pairs(rows).partition_by(3).values().boxed()),
    ("repartition_and_sort", |rows| {
        pairs(rows).repartition_and_sort_within_partitions(3).values().boxed()
    }),
];

/// A row that is displayed by its `Debug`.
struct Shown(Row);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn some(row: Option<Row>) -> u64 {
    row.map_or(0, |row| row.value)
}

fn len<T>(rows: Vec<T>) -> u64 {
    rows.len() as u64
}

const ACTIONS: [(&str, Action); 24] = [
    ("collect", |rows, _| rows.collect().map(len)),
    ("count", |rows, _| rows.count()),
    ("take", |rows, _| rows.take(7).map(len)),
    ("first", |rows, _| rows.first().map(some)),
    ("reduce", |rows, _| rows.reduce(larger).map(some)),
    ("aggregate", |rows, _| rows.aggregate(Vec::new(), append, join).map(len)),
    ("min", |rows, _| rows.min().map(some)),
    ("max_by_key", |rows, _| rows.max_by_key(Row::clone).map(some)),
    ("top", |rows, _| rows.top(3).map(len)),
    ("take_ordered", |rows, _| rows.take_ordered(3).map(len)),
    ("top_by_key", |rows, _| rows.top_by_key(3, Row::clone).map(len)),
    ("for_each", |rows, _| rows.for_each(drop).map(|()| 0)),
    ("count_by_value", |rows, _| rows.count_by_value().map(|counts| counts.len() as u64)),
    ("count_by_key", |rows, _| pairs(rows).count_by_key().map(|counts| counts.len() as u64)),
    ("collect_as_map", |rows, _| pairs(rows).collect_as_map().map(|map| map.len() as u64)),
    ("lookup", |rows, _| {
        let Some(key) = rows.first()? else { return Ok(0) };
        pairs(rows).lookup(&key).map(len)
    }),
    ("lookup of a sorted key", |rows, _| {
        let Some(key) = rows.first()? else { return Ok(0) };
        pairs(rows).sort_pairs().lookup(&key).map(len)
    }),
    ("to_local_iterator", |rows, _| rows.to_local_iterator().collect::<Result<Vec<_>>>().map(len)),
    ("save_as_text_file", |rows, folder| {
        rows.map(Shown).save_as_text_file(folder.join("text")).map(|()| 0)
    }),
    ("checkpoint", |rows, folder| rows.checkpoint(folder.join("rows"))?.count()),
    ("local_checkpoint", |rows, _| rows.local_checkpoint()?.collect().map(len)),
    ("twice", |rows, _| {
        rows.count()?;
        rows.count()
    }),
    ("an accumulator", |rows, _| {
        let list = rows.context().accumulator(Vec::new());
        let adder = list.clone();
        rows.for_each(move |row| adder.add(row))?;
        let _ = format!("{list:?}");
        Ok(len(list.value()) + len(list.take()))
    }),
    ("a spawned action", |rows, _| {
        let rows = rows.clone();
        let handle = rows.context().clone().spawn(move || rows.collect());
        handle.wait().map(len)
    }),
];

/// The way to run a program.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
struct Setting {
    threads: usize,
    force_spill: bool,
    small_memory: bool,
    retries: bool,
    speculates: bool,
    faults: Vec<Injected>,
    /// Cancels the program after this number of calls of methods.
    cancelled_after: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Injected {
    Output(u64, usize, Damage),
    Block(u64, usize, Damage),
    DiskOperation(u64),
}

fn setting() -> impl Strategy<Value = Setting> {
    let damage = prop_oneof![Just(Damage::Lost), Just(Damage::Truncated), Just(Damage::Corrupted)];
    let output = (0..4_u64, 0..3_usize, damage);
    let injected = prop_oneof![
        output.clone().prop_map(|(of, at, damage)| Injected::Output(of, at, damage)),
        output.prop_map(|(of, at, damage)| Injected::Block(of, at, damage)),
        (0..40_u64).prop_map(Injected::DiskOperation),
    ];
    let faults = proptest::collection::vec(injected, 0..3);
    let cancelled_after = proptest::option::weighted(0.2, 0..200_usize);
    let flags = (1..4_usize, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, faults, cancelled_after).prop_map(|(flags, faults, cancelled_after)| {
        let (threads, force_spill, small_memory, retries, speculates) = flags;
        Setting { threads, force_spill, small_memory, retries, speculates, faults, cancelled_after }
    })
}

impl Setting {
    fn context(&self, found: &Found) -> Context {
        let mut plan = FaultPlan::new();
        for fault in &self.faults {
            plan = match *fault {
                Injected::Output(of, at, damage) => {
                    plan.damage_map_output(ShuffleId(of), at, damage)
                }
                Injected::Block(of, at, damage) => plan.damage_block(RddId(of), at, damage),
                Injected::DiskOperation(at) => plan.fail_disk_operation(at),
            };
        }
        let disk = Arc::new(CheckedDisk(RealDisk, Arc::clone(found)));
        let builder = Context::builder().threads(self.threads).force_spill(self.force_spill);
        let builder = builder.disk(disk).faults(plan).listener(Listening(Arc::clone(found)));
        let builder = builder.max_attempts(if self.retries { 3 } else { 1 });
        let builder = match self.small_memory {
            true => builder.memory_limit_bytes(1 << 20).task_memory_bytes(1 << 12),
            false => builder,
        };
        let speculation =
            Speculation { min_runtime: Duration::ZERO, multiplier: 1.0, ..Speculation::default() };
        if self.speculates { builder.speculation(speculation) } else { builder }.build().unwrap()
    }
}

/// A listener that checks for locks.
struct Listening(Found);

impl Listener for Listening {
    fn on_event(&mut self, _: &EventRecord) {
        check(&self.0, "on_event");
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        check(&self.0, "drop of a listener");
    }
}

/// Calls a context back, another method of it each time.
struct Caller {
    ctx: Context,
    count: Accumulator<u64>,
    list: Accumulator<Vec<u64>>,
    cached: Rdd<u64>,
    /// The rows of the program.
    rows: Mutex<Option<Rdd<Row>>>,
    calls: AtomicUsize,
}

thread_local! {
    /// True while a hook runs on this thread.
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

impl Caller {
    fn new(ctx: &Context) -> Caller {
        Caller {
            ctx: ctx.clone(),
            count: ctx.accumulator(0),
            list: ctx.accumulator(Vec::new()),
            cached: ctx.range_with(2, 0..4_u64).cache(),
            rows: Mutex::new(None),
            calls: AtomicUsize::new(0),
        }
    }

    /// Calls `work` with the rows of the program.
    fn with_rows(&self, work: impl FnOnce(&Rdd<Row>)) {
        let rows = self.rows.lock().unwrap().clone();
        if let Some(rows) = rows {
            work(&rows);
        }
    }

    /// Makes one call, on every 7th call of a method. Methods that this calls do nothing.
    fn call(&self) {
        let number = self.calls.fetch_add(1, SeqCst);
        if !number.is_multiple_of(7) || IS_CALLING.replace(true) {
            return;
        }
        let is_task_thread =
            thread::current().name().is_some_and(|name| name.starts_with("emberline"));
        match number / 7 % 16 {
            0 => drop(self.count.value()),
            1 => drop(self.list.take()),
            2 => drop(format!("{:?} {:?}", self.list, self.cached)),
            3 => drop(self.cached.explain().to_string()),
            4 => drop(self.ctx.jobs()),
            5 => drop(self.ctx.range(0..3_u64).map(|n| n + 1).cache()),
            6 => self.cached.unpersist(),
            7 => drop(self.ctx.spawn(|| Ok(()))),
            8 => self.ctx.cancel_group("none", "a test"),
            9 => self.with_rows(|rows| drop(rows.explain().to_string())),
            10 => self.with_rows(|rows| drop(rows.cache())),
            11 => self.with_rows(Rdd::unpersist),
            12 => drop(self.ctx.memory_used_bytes()),
            // An action in a task is an error of the task.
            13 if !is_task_thread => drop(self.cached.count()),
            14 if !is_task_thread => self.list.add(1),
            15 if !is_task_thread => self.with_rows(|rows| drop(rows.take(1))),
            _ => drop(self.ctx.accumulator(1_u64)),
        }
        IS_CALLING.set(false);
    }
}

/// Runs a program. The hook checks for locks, and calls the context back if `calls_back`.
fn run(program: &Program, setting: &Setting, calls_back: bool) {
    let found = Found::default();
    let ctx = setting.context(&found);
    let caller = calls_back.then(|| Arc::new(Caller::new(&ctx)));
    let left = AtomicUsize::new(setting.cancelled_after.unwrap_or(usize::MAX));
    let (noted, calling, canceller) = (Arc::clone(&found), caller.clone(), ctx.clone());
    let hook = Arc::new(Hook::new(move |method: Method| {
        check(&noted, method);
        if left.fetch_sub(1, SeqCst) == 1 {
            canceller.cancel_all("a test");
        }
        if let Some(caller) = &calling {
            caller.call();
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    let rows = SOURCES[program.source].1(&ctx, &hook, program.rows);
    let rows = program.operations.iter().fold(rows, |rows, number| OPERATIONS[*number].1(&rows));
    if let Some(caller) = &caller {
        *caller.rows.lock().unwrap() = Some(rows.clone());
    }
    let _ = ACTIONS[program.action].1(&rows, folder.path());
    let last = caller.as_ref().and_then(|caller| caller.rows.lock().unwrap().take());
    drop((rows, last));
    ctx.flush_listeners();
    drop((caller, hook, ctx));
    assert_none(&found, (program, setting));
}

/// A program: rows, operations and an action, by number.
#[derive(Clone)]
struct Program {
    source: usize,
    operations: Vec<usize>,
    action: usize,
    rows: usize,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<&str> = self.operations.iter().map(|at| OPERATIONS[*at].0).collect();
        let (source, action) = (SOURCES[self.source].0, ACTIONS[self.action].0);
        write!(f, "{} rows of {source}, {}, {action}", self.rows, operations.join(", "))
    }
}

fn program() -> impl Strategy<Value = Program> {
    let operations = proptest::collection::vec(0..OPERATIONS.len(), 0..3);
    let rows = prop_oneof![Just(0), 1..12_usize, Just(40)];
    (0..SOURCES.len(), operations, 0..ACTIONS.len(), rows)
        .prop_map(|(source, operations, action, rows)| Program { source, operations, action, rows })
}

fn check_programs(cases: usize, calls_back: bool) {
    let config = ProptestConfig { cases: scaled(cases) as u32, ..ProptestConfig::default() };
    proptest!(config, |(program in program(), setting in setting())| {
        within(DEADLINE, move || run(&program, &setting, calls_back));
    });
}

/// Returns the setting of the programs that are not random.
fn usual(force_spill: bool, small_memory: bool) -> Setting {
    Setting {
        threads: 2,
        force_spill,
        small_memory,
        retries: false,
        speculates: false,
        faults: Vec::new(),
        cancelled_after: None,
    }
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn no_method_of_a_row_runs_under_a_lock_in_any_operation_or_action() {
    let longest = SOURCES.len().max(OPERATIONS.len()).max(ACTIONS.len());
    for (force_spill, small_memory) in [(false, false), (true, true)] {
        for number in 0..longest {
            let program = Program {
                source: number % SOURCES.len(),
                operations: vec![number % OPERATIONS.len()],
                action: number % ACTIONS.len(),
                rows: 20,
            };
            within(DEADLINE, move || run(&program, &usual(force_spill, small_memory), true));
        }
    }
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn no_method_of_a_row_runs_under_a_lock_in_random_programs_with_faults() {
    check_programs(70, false);
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn rows_whose_methods_call_the_context_back_never_wait_for_themselves() {
    check_programs(70, true);
}

/// A waker that checks for locks in all of its methods.
struct Waking(Found);

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        check(&self.0, "wake");
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        check(&self.0, "drop of a waker");
    }
}

// Case R-B3 of tests/PROMISES.md.
#[test]
fn a_job_handle_wakes_and_drops_wakers_and_results_without_a_lock() {
    within(DEADLINE, || {
        let found = Found::default();
        let ctx = Context::builder().threads(2).build().unwrap();
        let noted = Arc::clone(&found);
        let hook = Hook::new(move |method| check(&noted, method));
        for cancels in [false, true] {
            let may_end = Arc::new(AtomicBool::new(false));
            let (ending, row) = (Arc::clone(&may_end), hook.row(1));
            let handle = ctx.spawn(move || {
                while !ending.load(SeqCst) {
                    thread::yield_now();
                }
                Ok(row)
            });
            let mut polled = pin!(handle);
            for _ in 0..3 {
                // Each waker replaces the last one, which is dropped.
                let waker = Waker::from(Arc::new(Waking(Arc::clone(&found))));
                assert!(
                    polled.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending()
                );
            }
            let _ = format!("{polled:?}");
            if cancels {
                polled.cancel("a test");
            }
            may_end.store(true, SeqCst);
            let _ = polled.wait_timeout(Duration::from_secs(20));
        }
        drop(hook);
        assert_none(&found, "wakers");
    });
}

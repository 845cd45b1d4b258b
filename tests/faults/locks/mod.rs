//! Rows whose methods call back into the context: no engine lock is held while code of a user runs.
//!
//! Random programs read rows from every kind of store, through operations and actions, with retries, cancelled jobs,
//! lost outputs and evicted blocks. Every method of a row checks that its thread holds no engine lock, and then
//! calls the context.
//!
//! - `disk`: a disk that checks for locks in every method.
//! - `programs`: every source, operation and action of the programs.

mod disk;
mod programs;

use self::disk::CheckedDisk;
use self::programs::{ACTIONS, OPERATIONS, SOURCES};
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

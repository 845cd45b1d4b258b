//! The context of a running task: its attempt id, its settings, its memory limits and its
//! cancellation checks.
//!
//! Iterators of rows are `'static` and hold an `Rc` to the context of their task, so that
//! `map_partitions` can pass a real iterator to a closure and accept an iterator of any type from
//! it. That costs a few reference counts for each partition.
//!
//! Cancellation is checked where rows come from: in sources, in shuffle reads, and in iterators of
//! closures ([`CancelCheck`]), which may be endless. An array, an option or a short `Vec` is not
//! counted, so its rows cost nothing more (6.8 instructions for each row, callgrind); rows of other
//! iterators cost two instructions more, since their `size_hint` may be wrong.
//! `map` and `filter` count nothing.

use crate::attempt::Attempt;
use crate::config::Config;
use crate::counters::{Counters, Phase, PhaseGuard, SpilledFile};
use crate::error::{Error, ErrorKind, Result, TaskAttemptId};
use crate::event::TaskMetrics;
use crate::memory::MemoryPool;
use crate::operation::Operation;
use crate::scratch::Scratch;
use crate::unwind::{raise, record_in_rayon_work, record_raised, shares_failures};
use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::{array, iter, option, vec};

/// The context of one task attempt. It is made on the thread of the task and stays there; a clone
/// is another handle to the same context.
#[derive(Clone)]
pub struct TaskContext {
    state: Rc<TaskState>,
    /// The operation that uses this handle and those before it in its stage.
    operators: usize,
    /// True if a boxed pipeline computes no row before it is pulled.
    pulls_single_rows: bool,
}

/// The state that all handles to one task share; it is read through [`TaskContext`].
pub struct TaskState {
    /// The id of the attempt.
    pub attempt_id: TaskAttemptId,
    /// The settings of the context.
    pub config: Arc<Config>,
    /// The memory pool.
    pub memory: Arc<MemoryPool>,
    /// The scratch directories.
    pub scratch: Arc<Scratch>,
    attempt: Arc<Attempt>,
    counters: Counters,
}

impl Deref for TaskContext {
    type Target = TaskState;

    fn deref(&self) -> &TaskState {
        &self.state
    }
}

/// The number of rows between two cancellation checks.
pub const ROWS_PER_CHECK: usize = 4096;

/// The maximum number by which the task memory limit is divided. With smaller runs, merging them
/// would cost more than it saves.
const MAX_OPERATORS: usize = 8;

impl TaskContext {
    /// Returns the context of one task attempt.
    pub fn new(
        attempt_id: TaskAttemptId,
        config: Arc<Config>,
        memory: Arc<MemoryPool>,
        scratch: Arc<Scratch>,
        attempt: Arc<Attempt>,
    ) -> Self {
        let counters = Counters::new();
        let state = TaskState { attempt_id, config, memory, scratch, attempt, counters };
        TaskContext { state: Rc::new(state), operators: 1, pulls_single_rows: false }
    }

    /// Returns a handle for the last of `operators` operations of the stage that hold rows at the
    /// same time, whose memory limit is smaller. The number must depend only on the lineage before
    /// the operation, so that runs are always cut at the same rows.
    pub fn with_operators(&self, operators: usize) -> Self {
        TaskContext { operators, ..self.clone() }
    }

    /// Returns a handle for an action that may stop after any row. A partition that is opened with
    /// it computes no row before it is pulled, also through boxed pipelines.
    pub fn with_single_rows(&self, pulls_single_rows: bool) -> Self {
        TaskContext { pulls_single_rows, ..self.clone() }
    }

    /// Returns true if rows must not be computed before they are pulled.
    pub fn pulls_single_rows(&self) -> bool {
        self.pulls_single_rows
    }

    /// Returns the memory limit of the rows of this operation, at which they are flushed as a run:
    /// a third of the task memory limit for the first operation of a stage, a quarter for the
    /// second, and less for those after them. The rest is for sorting and for buffers.
    ///
    /// The limit depends only on the configuration and the lineage, so attempts and threads give
    /// the same runs. Memory pressure decides only whether a finished run is stored in memory or in
    /// a file.
    pub fn operator_memory_limit(&self) -> u64 {
        self.config.task_memory_limit() / (2 * self.operators.min(MAX_OPERATORS)).max(3) as u64
    }

    /// Returns the memory limit of a table that is filled from a shuffle. It is twice the operator
    /// limit, because an operation has one such table at a time and sorts no more rows than that.
    pub fn table_memory_limit(&self) -> u64 {
        self.operator_memory_limit().saturating_mul(2)
    }

    /// Returns a context outside any engine, for tests of code that runs inside tasks.
    pub fn for_test(config: Config) -> Self {
        use crate::ids::{JobId, StageId, TaskId};
        let attempt_id =
            TaskAttemptId { job: JobId(0), stage: StageId(0), partition: 0, attempt: 0 };
        let config = Arc::new(config);
        let memory = Arc::new(MemoryPool::new(config.memory_limit_bytes));
        let scratch = Arc::new(Scratch::new(&config));
        let attempt = Arc::new(Attempt::new(TaskId(0), Arc::default()));
        TaskContext::new(attempt_id, config, memory, scratch, attempt)
    }
}

impl TaskState {
    /// Returns true if the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.is_cancelled()
    }

    /// Publishes a part of the task's result. Only one attempt of a task may commit, and a
    /// cancelled one may not; see [`Attempt::commit`].
    pub fn commit<R>(&self, publish: impl FnOnce() -> Result<R>) -> Result<R> {
        self.attempt.commit(publish)
    }

    /// Raises an error if the task was cancelled. Sources call it every [`ROWS_PER_CHECK`] rows.
    #[inline]
    pub fn check_cancelled(&self) {
        if self.is_cancelled() {
            raise(Error::cancelled("the job has ended"));
        }
    }

    /// Counts rows of a source or a shuffle read, once for each batch of rows.
    #[inline]
    pub fn count_read(&self, rows: usize) {
        self.counters.change(|metrics| metrics.rows_read += rows as u64);
    }

    /// Counts the rows of a map output and their size in memory.
    pub fn count_written(&self, rows: u64, bytes: u64) {
        self.counters.change(|metrics| {
            metrics.rows_written += rows;
            metrics.bytes_written = metrics.bytes_written.saturating_add(bytes);
        });
    }

    /// Counts a file of rows that was written.
    pub fn count_spilled(&self, file: SpilledFile) {
        self.counters.change(|metrics| {
            metrics.files_spilled += 1;
            metrics.bytes_spilled += file.file_bytes;
            metrics.encoded_bytes += file.encoded_bytes;
            metrics.estimated_bytes = metrics.estimated_bytes.saturating_add(file.estimated_bytes);
        });
    }

    /// Begins a phase that ends when the guard drops. The time of a phase inside another is not
    /// counted for the outer one. Called once for each chunk or run, never for each row.
    pub fn enter(&self, phase: Phase) -> PhaseGuard<'_> {
        self.counters.enter(phase)
    }

    /// Returns the current phase.
    pub fn phase(&self) -> Phase {
        self.counters.phase()
    }

    /// Returns the metrics so far. The runner adds the total time.
    pub fn metrics(&self) -> TaskMetrics {
        self.counters.metrics()
    }
}

/// Returns true if `I` iterates an option, a `Vec` or a short array. The compiler knows the result.
#[inline(always)]
fn is_list<I: Iterator + 'static>() -> bool {
    macro_rules! is_any_of {
        ($($list:ty),*) => { $(TypeId::of::<I>() == TypeId::of::<$list>())||* };
    }
    macro_rules! is_array {
        ($($len:literal)*) => { is_any_of!($(array::IntoIter<I::Item, $len>),*) };
    }
    is_any_of!(option::IntoIter<I::Item>, vec::IntoIter<I::Item>, iter::Once<I::Item>)
        || is_array!(0 1 2 3 4 5 6 7 8)
}

/// Checks for cancellation every few thousand rows of an iterator of the user, which may be
/// endless. A row costs two instructions; rows of a bounded iterator are counted together.
pub struct CancelCheck {
    rows_until_check: usize,
    task: TaskContext,
}

impl CancelCheck {
    /// Returns a counter whose first check comes after [`ROWS_PER_CHECK`] rows.
    pub fn new(task: &TaskContext) -> Self {
        CancelCheck { rows_until_check: ROWS_PER_CHECK, task: task.clone() }
    }

    /// Returns true if the rows of an iterator `I` must be counted: if it is not a list of std,
    /// whose size hint is right, or may have more than `max_rows`. For arrays and options the
    /// compiler knows the result.
    #[inline(always)]
    pub fn is_needed<I: Iterator + 'static>(
        size_hint: (usize, Option<usize>),
        max_rows: usize,
    ) -> bool {
        !is_list::<I>() || size_hint.1.is_none_or(|bound| bound > max_rows)
    }

    /// Counts a row.
    #[inline(always)]
    pub fn tick(&mut self) {
        self.tick_rows(1);
    }

    /// Counts `rows` rows.
    #[inline(always)]
    pub fn tick_rows(&mut self, rows: usize) {
        if self.rows_until_check <= rows {
            return self.check();
        }
        self.rows_until_check -= rows;
    }

    #[cold]
    fn check(&mut self) {
        self.rows_until_check = ROWS_PER_CHECK;
        self.task.check_cancelled();
    }
}

/// The memory that one operator of a task holds. It counts until this is dropped.
pub struct OperatorMemory {
    task: TaskContext,
    bytes: u64,
}

impl OperatorMemory {
    /// Returns a counter of no memory.
    pub fn new(task: &TaskContext) -> Self {
        OperatorMemory { task: task.clone(), bytes: 0 }
    }

    /// Sets the memory in bytes.
    pub fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.task.counters.replace_held(before, bytes);
    }
}

impl Drop for OperatorMemory {
    fn drop(&mut self) {
        self.set(0);
    }
}

thread_local! {
    /// The operation or action whose task runs on this thread.
    static RUNNING: Cell<Option<Operation>> = const { Cell::new(None) };
    /// The attempt that runs on this thread.
    static ATTEMPT: RefCell<Option<Arc<Attempt>>> = const { RefCell::new(None) };
}

/// Runs `work` as a task of `owner` on this thread.
pub fn run_as_task_of<R>(owner: Operation, task: &TaskContext, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Operation>, Option<Arc<Attempt>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RUNNING.set(self.0);
            ATTEMPT.set(self.1.take());
        }
    }
    let attempt = ATTEMPT.replace(Some(Arc::clone(&task.attempt)));
    let _restore = Restore(RUNNING.replace(Some(owner)), attempt);
    work()
}

/// Raises an error if the task that runs on this thread was cancelled. For loops that have no
/// [`TaskContext`], once for many iterations; it does nothing outside of tasks.
#[cold]
pub fn check_running_task() {
    let is_cancelled = ATTEMPT.with_borrow(|attempt| {
        let attempt = attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.is_cancelled())
    });
    if is_cancelled {
        raise(Error::cancelled("the job has ended"));
    }
}

/// The number of iterations of a loop between two cancellation checks, if the loop passes on no rows
/// and may call closures of the user.
pub const ITERATIONS_PER_CHECK: usize = 256;

/// Checks the task that runs on this thread for cancellation, once for [`ITERATIONS_PER_CHECK`]
/// iterations of a loop that may be long and passes on no rows.
#[derive(Default)]
pub struct LoopCheck(usize);

impl LoopCheck {
    /// Counts `iterations` of the loop.
    #[inline]
    pub fn tick(&mut self, iterations: usize) {
        self.0 += iterations;
        if self.0 >= ITERATIONS_PER_CHECK {
            self.0 = 0;
            check_running_task();
        }
    }
}

/// Returns true if this thread runs a task.
pub fn is_task_thread() -> bool {
    RUNNING.with(Cell::get).is_some()
}

/// Refuses an action on a thread that runs a task or the rayon work of its closure, because the
/// task would wait for itself. The task fails even if its closure handles the error, since the
/// value it computes would be wrong.
pub fn refuse_nested(action: Operation) -> Result<()> {
    let owner = RUNNING.with(Cell::get);
    if owner.is_none() && !shares_failures() {
        return Ok(());
    }
    let by_rayon = || "an operation whose closure uses rayon".into();
    let outer = owner.map_or_else(by_rayon, |owner| owner.to_string());
    let kind = ErrorKind::NestedAction { inner: action.to_string(), outer };
    let refused = Error::new(kind).in_action(action);
    match owner {
        Some(_) => record_raised(&refused),
        None => record_in_rayon_work(&refused),
    }
    Err(refused)
}

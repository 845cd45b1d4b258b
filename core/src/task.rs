//! What a running task knows: its place, its settings, and whether it should stop.

use crate::attempt::Attempt;
use crate::config::Config;
use crate::counters::{Counters, Phase, SpilledFile};
use crate::error::{Error, ErrorKind, Result, TaskAttemptId};
use crate::event::TaskMetrics;
use crate::memory::MemoryPool;
use crate::operation::Operation;
use crate::scratch::Scratch;
use crate::unwind::{note_raised, raise};
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

/// The surroundings of one attempt of one task. It is made on the task's thread and stays there; a
/// clone is another handle to the same one, so that an iterator can own its task.
#[derive(Clone)]
pub struct TaskContext {
    state: Rc<TaskState>,
    /// The operation that uses this handle and those before it in its stage.
    operators: usize,
}

/// What all handles to one task share; read through [`TaskContext`].
pub struct TaskState {
    /// Where in the run the task stands.
    pub place: TaskAttemptId,
    /// The settings of the context.
    pub config: Arc<Config>,
    /// The budget that caches, shuffles and sorts share.
    pub memory: Arc<MemoryPool>,
    /// Where files of the engine go.
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

/// Rows a source hands out between two looks at the cancel flag.
pub const ROWS_PER_CHECK: usize = 4096;

/// However many operations a stage has, one may take a 16th of the share: smaller runs only move
/// the trouble to the disk.
const MAX_OPERATORS: usize = 8;

impl TaskContext {
    /// The surroundings of one attempt of a task.
    pub fn new(
        place: TaskAttemptId,
        config: Arc<Config>,
        memory: Arc<MemoryPool>,
        scratch: Arc<Scratch>,
        attempt: Arc<Attempt>,
    ) -> Self {
        let counters = Counters::new();
        let state = TaskState { place, config, memory, scratch, attempt, counters };
        TaskContext { state: Rc::new(state), operators: 1 }
    }

    /// The same task as the last of so many operations of its stage that hold rows at the same time
    /// sees it: it has a smaller part of the task's share. The number must come from the lineage
    /// before the operation alone, so that its rows are always cut at the same places.
    pub fn with_operators(&self, operators: usize) -> Self {
        TaskContext { state: Rc::clone(&self.state), operators }
    }

    /// What the rows of this operation may take before they are cut into a run: a third of the task's
    /// share for the first of a stage, a quarter for the second, and less and less for those behind
    /// them. The rest is for sorting and for buffers.
    pub fn operator_memory_limit(&self) -> u64 {
        self.config.task_memory_limit() / (2 * self.operators.min(MAX_OPERATORS)).max(3) as u64
    }

    /// What the table behind a shuffle may take before it is cut: twice as much, since an operation
    /// has one such table at a time and sorts no more than that.
    pub fn table_bytes(&self) -> u64 {
        self.operator_memory_limit().saturating_mul(2)
    }

    /// A task on its own, outside any engine: for tests of code that runs inside tasks.
    pub fn alone(config: Config) -> Self {
        use crate::ids::{JobId, StageId, TaskId};
        let place = TaskAttemptId { job: JobId(0), stage: StageId(0), partition: 0, attempt: 0 };
        let config = Arc::new(config);
        let memory = Arc::new(MemoryPool::new(config.memory_limit_bytes));
        let scratch = Arc::new(Scratch::new(&config));
        let attempt = Arc::new(Attempt::new(TaskId(0), Arc::default()));
        TaskContext::new(place, config, memory, scratch, attempt)
    }
}

impl TaskState {
    /// Whether the job no longer wants the task's result.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.is_cancelled()
    }

    /// Leaves a part of the task's result where others see it: of several attempts at one task only
    /// one may, and a cancelled one does not. See [`Attempt::commit`].
    pub fn commit<R>(&self, leave: impl FnOnce() -> Result<R>) -> Result<R> {
        self.attempt.commit(leave)
    }

    /// Leaves the task if its job no longer wants the result. Sources call it every
    /// [`ROWS_PER_CHECK`] rows.
    #[inline]
    pub fn check_cancelled(&self) {
        if self.is_cancelled() {
            raise(Error::cancelled("the job has ended"));
        }
    }

    /// Counts rows that a source or a shuffle read handed out; called once a block of rows.
    #[inline]
    pub fn count_read(&self, rows: usize) {
        self.counters.change(|metrics| metrics.rows_read += rows as u64);
    }

    /// Counts rows that a map task leaves in its output, and what they take in memory.
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

    /// Counts the time of `work` as that of a phase: once a chunk or a run, never once a row. A
    /// phase inside another takes its time from it.
    pub fn in_phase<R>(&self, phase: Phase, work: impl FnOnce() -> R) -> R {
        self.counters.in_phase(phase, work)
    }

    /// What the task does now.
    pub fn phase(&self) -> Phase {
        self.counters.phase()
    }

    /// What the task has counted so far. The whole time is the runner's to fill in.
    pub fn metrics(&self) -> TaskMetrics {
        self.counters.metrics()
    }
}

/// Looks at the cancel flag every few thousand rows of an iterator of the user's, which may have no
/// end. Rows that are known to end soon are counted at once; others cost two instructions each.
pub struct CancelCheck {
    left: usize,
    task: TaskContext,
}

impl CancelCheck {
    /// The first look comes after [`ROWS_PER_CHECK`] rows.
    pub fn new(task: &TaskContext) -> Self {
        CancelCheck { left: ROWS_PER_CHECK, task: task.clone() }
    }

    /// Whether the rows of an iterator have to be counted: it does not say that it has at most
    /// `few`. The compiler knows the answer for arrays and options.
    #[inline(always)]
    pub fn is_needed(size_hint: (usize, Option<usize>), few: usize) -> bool {
        size_hint.1.is_none_or(|most| most > few)
    }

    /// Counts a row.
    #[inline(always)]
    pub fn tick(&mut self) {
        self.pass(1);
    }

    /// Counts so many rows.
    #[inline(always)]
    pub fn pass(&mut self, rows: usize) {
        if self.left <= rows {
            return self.look();
        }
        self.left -= rows;
    }

    #[cold]
    fn look(&mut self) {
        self.left = ROWS_PER_CHECK;
        self.task.check_cancelled();
    }
}

/// What one operator of a task holds in memory. It no longer counts when this drops.
pub struct OperatorMemory {
    task: TaskContext,
    bytes: u64,
}

impl OperatorMemory {
    /// Nothing yet.
    pub fn new(task: &TaskContext) -> Self {
        OperatorMemory { task: task.clone(), bytes: 0 }
    }

    /// Says how much it is now.
    pub fn set(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.task.counters.hold(before, bytes);
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
}

/// Runs `work` as a task of `owner` on this thread. A task that is stolen into the waiting time of
/// another (a closure may call rayon) leaves the outer one's mark as it found it.
pub fn as_task_of<R>(owner: Operation, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Operation>);
    impl Drop for Restore {
        fn drop(&mut self) {
            RUNNING.with(|running| running.set(self.0));
        }
    }
    let _restore = Restore(RUNNING.with(|running| running.replace(Some(owner))));
    work()
}

/// Whether this thread runs a task.
pub fn runs_on_this_thread() -> bool {
    RUNNING.with(Cell::get).is_some()
}

/// Refuses an action on a thread that runs a task: its own task could never end. That task fails,
/// even if its closure turns the refusal into a value: the value would be wrong.
pub fn refuse_nested(action: Operation) -> Result<()> {
    let Some(owner) = RUNNING.with(Cell::get) else { return Ok(()) };
    let (inner, outer) = (action.to_string(), owner.to_string());
    let refused = Error::new(ErrorKind::NestedAction { inner, outer }).in_action(action);
    note_raised(&refused);
    Err(refused)
}

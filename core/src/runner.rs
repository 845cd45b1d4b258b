//! Runs tasks on the thread pool of a context. It knows nothing of jobs and stages: it is given a
//! task, and reports its start and end as inputs of the scheduler.

use crate::attempt::Attempt;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, TaskAttemptId};
use crate::event::TaskMetrics;
use crate::faults;
use crate::ids::TaskId;
use crate::memory::MemoryPool;
use crate::operation::Operation;
use crate::quiet::drop_quietly;
use crate::scheduler::{Input, Task, Work};
use crate::scratch::Scratch;
use crate::sync::Mutex;
use crate::task::{TaskContext, run_as_task_of};
use crate::unwind::{Raised, restore_failure, take_failure};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Resources shared by all tasks of a context.
pub struct TaskEnv {
    /// The settings.
    pub config: Arc<Config>,
    /// The memory pool.
    pub memory: Arc<MemoryPool>,
    /// The scratch directories.
    pub scratch: Arc<Scratch>,
}

/// Sends an input to the scheduler. It is called on the threads of the pool.
pub type Report = Arc<dyn Fn(Input) + Send + Sync>;

/// The grace period after which the thread of a cancelled task is abandoned.
const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// The tasks on the pool. When it drops, the threads of the pool end by themselves.
pub struct Runner {
    pool: Pool,
    env: Arc<TaskEnv>,
    report: Report,
    live: BTreeMap<TaskId, Arc<QueuedTask>>,
    /// Cancelled tasks that are still running, and when they were cancelled.
    cancelled: HashMap<TaskId, (Arc<QueuedTask>, Instant)>,
    abandoned: AbandonedTasks,
}

/// A cancelled task that did not return from a closure within the grace period. The context has
/// replaced the thread that it blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbandonedTask {
    /// The attempt.
    pub attempt_id: TaskAttemptId,
    /// The operation or action for which the task runs. The closure belongs to it or to an
    /// operation before it in the stage.
    pub operation: Operation,
}

/// The abandoned tasks of a context that are still running.
#[derive(Clone, Default)]
pub struct AbandonedTasks(Arc<Mutex<BTreeMap<TaskId, AbandonedTask>>>);

impl AbandonedTasks {
    /// Returns the abandoned tasks that are still running.
    pub fn tasks(&self) -> Vec<AbandonedTask> {
        self.lock().values().copied().collect()
    }

    fn lock(&self) -> crate::sync::MutexGuard<'_, BTreeMap<TaskId, AbandonedTask>> {
        self.0.lock()
    }
}

/// A task that waits in the queue of the pool, or runs. Cancelling removes the task from a waiting
/// entry, so that the queue holds no lineage of a cancelled job.
struct QueuedTask {
    attempt: Arc<Attempt>,
    attempt_id: TaskAttemptId,
    owner: Operation,
    task: Mutex<Option<Task>>,
    started: OnceLock<Instant>,
}

impl QueuedTask {
    fn take(&self) -> Option<Task> {
        self.task.lock().take()
    }

    fn is_waiting(&self) -> bool {
        self.task.lock().is_some()
    }
}

/// The stack size of a thread: 8 MiB as for main threads, because closures may recurse.
const STACK_BYTES: usize = 8 << 20;

/// The threads of one context that run tasks.
#[derive(Clone)]
pub struct Pool {
    threads: usize,
    id: PoolId,
    inner: Arc<ThreadPool>,
}

/// The identity of the pools of one context.
#[derive(Clone, Default)]
pub struct PoolId(Arc<()>);

thread_local! {
    /// The pool to which this thread belongs.
    static POOL_ID: RefCell<Option<PoolId>> = const { RefCell::new(None) };
}

impl PoolId {
    /// Returns true if both are ids of the same context.
    pub fn is_same(&self, other: &PoolId) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns true if this thread belongs to the pool.
    pub fn is_on_this_thread(&self) -> bool {
        POOL_ID.with_borrow(|id| id.as_ref().is_some_and(|id| id.is_same(self)))
    }
}

impl Pool {
    /// Starts `threads` threads.
    pub fn build(threads: usize, id: PoolId) -> Result<Pool> {
        let on_start = id.clone();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("emberline-{number}"))
            .stack_size(STACK_BYTES)
            .start_handler(move |_| POOL_ID.set(Some(on_start.clone())))
            // Tasks catch panics themselves; otherwise an unexpected panic would abort the process.
            .panic_handler(|_| {})
            .build();
        let what = || ErrorKind::Io { what: format!("starting {threads} threads failed") };
        let inner = pool.map_err(|error| Error::new(what()).caused_by(error))?;
        Ok(Pool { threads, id, inner: Arc::new(inner) })
    }
}

impl Runner {
    /// Returns a runner without tasks.
    pub fn new(pool: Pool, env: TaskEnv, report: Report, abandoned: AbandonedTasks) -> Self {
        Runner {
            pool,
            env: Arc::new(env),
            report,
            live: BTreeMap::new(),
            cancelled: HashMap::new(),
            abandoned,
        }
    }

    /// Appends a task to the queue.
    pub fn launch(&mut self, task: Task) {
        let queued = Arc::new(QueuedTask {
            attempt: Arc::new(Attempt::new(task.id, Arc::clone(&task.right))),
            attempt_id: task.attempt_id,
            owner: task.owner,
            started: OnceLock::new(),
            task: Mutex::new(Some(task)),
        });
        self.queue(&queued);
        self.live.insert(queued.attempt.id(), queued);
    }

    fn queue(&self, queued: &Arc<QueuedTask>) {
        let queued = Arc::clone(queued);
        let env = Arc::clone(&self.env);
        let report = Arc::clone(&self.report);
        self.pool.inner.spawn_fifo(move || {
            let Some(task) = queued.take() else { return };
            let id = task.id;
            let _ = queued.started.set(Instant::now());
            report(Input::TaskStarted { task: id });
            let result = run(task, env, &queued.attempt);
            report(Input::TaskEnded { task: id, result });
        });
    }

    /// Cancels a task: if it has not started it never will, otherwise it stops at its next
    /// cancellation check.
    pub fn cancel(&mut self, task: TaskId) {
        let Some(queued) = self.live.remove(&task) else { return };
        queued.attempt.cancel();
        match queued.take() {
            Some(task) => drop_quietly(task),
            None => drop(self.cancelled.insert(task, (queued, Instant::now()))),
        }
    }

    /// Removes a task that has ended.
    pub fn forget(&mut self, task: TaskId) {
        self.live.remove(&task);
        if self.cancelled.remove(&task).is_some() {
            self.abandoned.lock().remove(&task);
        }
    }

    /// Cancels every task.
    pub fn cancel_all(&mut self) {
        let live: Vec<TaskId> = self.live.keys().copied().collect();
        live.into_iter().for_each(|task| self.cancel(task));
    }

    /// Returns true if there are tasks.
    pub fn is_busy(&self) -> bool {
        !self.live.is_empty()
    }

    /// Returns how long each running task has been running, in microseconds.
    pub fn running(&self, now: Instant) -> Vec<(TaskId, u64)> {
        let mut running = Vec::new();
        for (task, queued) in &self.live {
            if let Some(started) = queued.started.get() {
                let elapsed_us = now.saturating_duration_since(*started).as_micros();
                running.push((*task, elapsed_us.try_into().unwrap_or(u64::MAX)));
            }
        }
        running
    }

    /// Returns the end of the first grace period that has not expired.
    pub fn grace_ends(&self) -> Option<Instant> {
        if self.cancelled.is_empty() {
            return None;
        }
        let abandoned = self.abandoned.lock();
        let waiting = self.cancelled.iter().filter(|(task, _)| !abandoned.contains_key(task));
        waiting.map(|(_, (_, since))| *since + CANCEL_GRACE).min()
    }

    /// Abandons the threads of cancelled tasks whose grace period has expired, and returns these
    /// tasks. New threads replace the pool: the tasks in its queue move to the new pool, and its
    /// other threads end after their current task. A thread cannot be stopped from outside.
    pub fn abandon_stuck(&mut self, now: Instant) -> Vec<(TaskId, AbandonedTask)> {
        let mut newly_abandoned = Vec::new();
        for (task, (queued, since)) in &self.cancelled {
            if *since + CANCEL_GRACE <= now && !self.abandoned.lock().contains_key(task) {
                let abandoned =
                    AbandonedTask { attempt_id: queued.attempt_id, operation: queued.owner };
                self.abandoned.lock().insert(*task, abandoned);
                newly_abandoned.push((*task, abandoned));
            }
        }
        if !newly_abandoned.is_empty()
            && let Ok(pool) = Pool::build(self.pool.threads, self.pool.id.clone())
        {
            self.pool = pool;
            let waiting = self.live.values().filter(|queued| queued.is_waiting());
            waiting.for_each(|queued| self.queue(queued));
        }
        newly_abandoned
    }
}

/// Runs a task to its end. When this returns, the thread holds nothing of the task and the context,
/// so an action that returns after the last report leaves no reference on the pool.
fn run(task: Task, env: Arc<TaskEnv>, attempt: &Arc<Attempt>) -> Result<TaskMetrics> {
    let started = Instant::now();
    let context = TaskContext::new(
        task.attempt_id,
        Arc::clone(&env.config),
        Arc::clone(&env.memory),
        Arc::clone(&env.scratch),
        Arc::clone(attempt),
    );
    let outcome = run_caught(&task, &context);
    let metrics = TaskMetrics {
        run_us: started.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
        ..context.metrics()
    };
    drop(context);
    drop_quietly(task);
    drop(env);
    outcome.map(|()| metrics)
}

/// Runs the work under `catch_unwind`. The failure that the thread recorded overrides the returned
/// value: an error that user code caught still fails the task.
fn run_caught(task: &Task, context: &TaskContext) -> Result<()> {
    let failure_of_outer_task = take_failure();
    let work = || {
        faults::begin_task(context.config.faults.as_ref(), &task.attempt_id);
        match &task.work {
            Work::ShuffleMap(shuffle) => shuffle.run_map(task.attempt_id.partition, context),
            Work::Result(request) => (request.task)(context),
        }?;
        faults::end_task(context.config.faults.as_ref(), &task.attempt_id)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| run_as_task_of(task.owner, work)));
    let failure = take_failure();
    restore_failure(failure_of_outer_task);
    let outcome = outcome.unwrap_or_else(|payload| Err(error_of(payload, failure.blamed)));
    let outcome = failure.raised.map_or(outcome, Err);
    outcome.map_err(|error| error.in_operation(task.owner))
}

/// Converts the payload of a caught unwind into an error: the error that was raised, or a panic of
/// the `blamed` operation.
pub fn error_of(payload: Box<dyn Any + Send>, blamed: Option<Operation>) -> Error {
    let payload = match payload.downcast::<Raised>() {
        Ok(raised) => return raised.0,
        Err(payload) => payload,
    };
    let message = match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).into(),
        (None, None) => "(a value that is not text)".into(),
    };
    drop_quietly(payload);
    let error = Error::new(ErrorKind::Panicked { message });
    match blamed {
        Some(operation) => error.in_operation(operation),
        None => error,
    }
}

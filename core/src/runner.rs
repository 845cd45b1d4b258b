//! Runs tasks on the threads of a context. It knows nothing of jobs and stages: it is given a
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
use crate::threads::RETRY_INTERVAL;
use crate::unwind::{Raised, take_failure, take_failure_of_rayon_work};
pub use crate::workers::PoolId;
use crate::workers::Workers;
use std::any::Any;
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

/// Sends an input to the scheduler. It is called on the threads of tasks and of the scheduler.
pub type Report = Arc<dyn Fn(Input) + Send + Sync>;

/// The grace period after which the thread of a cancelled task is abandoned.
const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// The tasks on the threads of a context. When it drops, the threads end by themselves.
pub struct Runner {
    workers: Workers<Arc<QueuedTask>>,
    report: Report,
    live: BTreeMap<TaskId, Arc<QueuedTask>>,
    /// Cancelled tasks that are still running, and when they were cancelled.
    cancelled: HashMap<TaskId, (Arc<QueuedTask>, Instant)>,
    abandoned: AbandonedTasks,
    /// The time of the next attempt to replace threads that could not be replaced.
    retry_threads_at: Option<Instant>,
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

/// A task that waits in the queue, or runs. Cancelling removes the task from a waiting entry, so
/// that the queue holds no lineage of a cancelled job.
struct QueuedTask {
    attempt: Arc<Attempt>,
    attempt_id: TaskAttemptId,
    owner: Operation,
    state: Mutex<TaskState>,
    started: OnceLock<Instant>,
}

/// The state of a queued task.
enum TaskState {
    Queued(Task),
    Running,
    /// Has ended, or was cancelled before it began.
    Ended,
    /// Runs on a thread that no longer serves the queue.
    Abandoned,
}

impl QueuedTask {
    fn new(task: Task) -> Arc<Self> {
        Arc::new(QueuedTask {
            attempt: Arc::new(Attempt::new(task.id, Arc::clone(&task.right))),
            attempt_id: task.attempt_id,
            owner: task.owner,
            started: OnceLock::new(),
            state: Mutex::new(TaskState::Queued(task)),
        })
    }

    /// Takes the task to run it, unless it was cancelled.
    fn begin(&self) -> Option<Task> {
        let task = self.take(TaskState::Running)?;
        let _ = self.started.set(Instant::now());
        Some(task)
    }

    /// Takes the waiting task so that it never runs.
    fn remove(&self) -> Option<Task> {
        self.take(TaskState::Ended)
    }

    fn take(&self, next: TaskState) -> Option<Task> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, next) {
            TaskState::Queued(task) => Some(task),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Ends the running task. Returns false if it was abandoned.
    fn end(&self) -> bool {
        matches!(std::mem::replace(&mut *self.state.lock(), TaskState::Ended), TaskState::Running)
    }

    /// Abandons the task if it is running.
    fn abandon(&self) -> bool {
        let mut state = self.state.lock();
        let is_running = matches!(*state, TaskState::Running);
        if is_running {
            *state = TaskState::Abandoned;
        }
        is_running
    }
}

impl Runner {
    /// Starts the threads of a runner without tasks.
    pub fn start(
        id: PoolId,
        env: TaskEnv,
        report: Report,
        abandoned: AbandonedTasks,
    ) -> Result<Self> {
        let threads = env.config.task_threads();
        let faults = env.config.faults.clone();
        let run_report = Arc::clone(&report);
        let run_task = move |queued: Arc<QueuedTask>| {
            let Some(task) = queued.begin() else { return true };
            let id = task.id;
            run_report(Input::TaskStarted { task: id });
            let result = run(task, &env, &queued.attempt);
            let was_running = queued.end();
            run_report(Input::TaskEnded { task: id, result });
            was_running
        };
        Ok(Runner {
            workers: Workers::start(threads, id, faults, Box::new(run_task))?,
            report,
            live: BTreeMap::new(),
            cancelled: HashMap::new(),
            abandoned,
            retry_threads_at: None,
        })
    }

    /// Appends a task to the queue.
    pub fn launch(&mut self, task: Task) {
        let queued = QueuedTask::new(task);
        self.workers.push(Arc::clone(&queued));
        self.live.insert(queued.attempt.id(), queued);
        if self
            .retry_threads_at
            .is_some_and(|at| at <= Instant::now() || !self.workers.has_threads())
        {
            self.replace_threads(Instant::now());
        }
    }

    /// Starts the threads that are missing. If none can be started and there are no others, the
    /// waiting tasks fail with the error of the system, which is retried as other errors of the
    /// system are.
    fn replace_threads(&mut self, now: Instant) {
        self.retry_threads_at = None;
        let Err(error) = self.workers.start_missing() else { return };
        self.retry_threads_at = Some(now + RETRY_INTERVAL);
        if self.workers.has_threads() {
            return;
        }
        for queued in self.workers.take_queue() {
            let Some(task) = queued.begin() else { continue };
            (self.report)(Input::TaskStarted { task: task.id });
            let result = Err(error.clone().in_operation(task.owner));
            queued.end();
            (self.report)(Input::TaskEnded { task: task.id, result });
            drop_quietly(task);
        }
    }

    /// Cancels a task: if it has not started it never will, otherwise it stops at its next
    /// cancellation check.
    pub fn cancel(&mut self, task: TaskId) {
        let Some(queued) = self.live.remove(&task) else { return };
        queued.attempt.cancel();
        match queued.remove() {
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

    /// Returns the next time at which [`on_deadline`](Runner::on_deadline) has work to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.grace_ends().into_iter().chain(self.retry_threads_at).min()
    }

    /// Returns the end of the first grace period that has not expired.
    fn grace_ends(&self) -> Option<Instant> {
        if self.cancelled.is_empty() {
            return None;
        }
        let abandoned = self.abandoned.lock();
        let waiting = self.cancelled.iter().filter(|(task, _)| !abandoned.contains_key(task));
        waiting.map(|(_, (_, since))| *since + CANCEL_GRACE).min()
    }

    /// Abandons the threads of cancelled tasks whose grace period has expired, and returns these
    /// tasks. New threads replace them: a thread cannot be stopped from outside. Threads that
    /// could not be replaced before are tried again.
    pub fn on_deadline(&mut self, now: Instant) -> Vec<(TaskId, AbandonedTask)> {
        let mut newly_abandoned = Vec::new();
        for (task, (queued, since)) in &self.cancelled {
            if *since + CANCEL_GRACE <= now
                && !self.abandoned.lock().contains_key(task)
                && queued.abandon()
            {
                let abandoned =
                    AbandonedTask { attempt_id: queued.attempt_id, operation: queued.owner };
                self.abandoned.lock().insert(*task, abandoned);
                self.workers.abandon_one();
                newly_abandoned.push((*task, abandoned));
            }
        }
        if !newly_abandoned.is_empty() || self.retry_threads_at.is_some_and(|at| at <= now) {
            self.replace_threads(now);
        }
        newly_abandoned
    }

    /// Cancels every task, ends the threads, and waits for them at most for `timeout`.
    pub fn shut_down(&mut self, timeout: Duration) {
        self.cancel_all();
        self.workers.stop(timeout);
    }
}

/// Runs a task to its end. When this returns, the thread holds nothing of the task, so an action
/// that returns after the last report leaves no reference on the thread.
fn run(task: Task, env: &TaskEnv, attempt: &Arc<Attempt>) -> Result<TaskMetrics> {
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
    outcome.map(|()| metrics)
}

/// Runs the work under `catch_unwind`. The failure that the thread recorded overrides the returned
/// value: an error that user code caught still fails the task.
fn run_caught(task: &Task, context: &TaskContext) -> Result<()> {
    // Destructors of an earlier task may have left one.
    let _ = (take_failure(), take_failure_of_rayon_work());
    let work = || {
        faults::begin_task(context.config.faults.as_ref(), &task.attempt_id);
        match &task.work {
            Work::ShuffleMap(shuffle) => shuffle.run_map(task.attempt_id.partition, context),
            Work::Result(request) => (request.task)(context),
        }?;
        faults::end_task(context.config.faults.as_ref(), &task.attempt_id)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| run_as_task_of(task.owner, context, work)));
    let failure = take_failure();
    let of_rayon_work = take_failure_of_rayon_work();
    let outcome = match outcome {
        Ok(returned) => failure.into_caught().or(of_rayon_work).map_or(returned, Err),
        Err(payload) => {
            let error = error_of(payload, failure.blamed);
            Err(failure.raised.or(of_rayon_work).unwrap_or(error))
        }
    };
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

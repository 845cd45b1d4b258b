//! Runs tasks on a pool of the context's own. It knows nothing of jobs and stages: a task goes in,
//! and its start and end come out as inputs of the scheduler.

use crate::attempt::Attempt;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, TaskAttemptId};
use crate::event::TaskMetrics;
use crate::faults;
use crate::ids::TaskId;
use crate::memory::MemoryPool;
use crate::operation::Operation;
use crate::scheduler::{Input, Task, Work};
use crate::scratch::Scratch;
use crate::task::{TaskContext, as_task_of};
use crate::unwind::{Raised, restore_failure, take_failure};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What every task of one context shares.
pub struct TaskEnv {
    /// The settings.
    pub config: Arc<Config>,
    /// The budget.
    pub memory: Arc<MemoryPool>,
    /// Where files go.
    pub scratch: Arc<Scratch>,
}

/// Hands an input to the scheduler; called on the pool's threads.
pub type Report = Arc<dyn Fn(Input) + Send + Sync>;

/// How long a cancelled task may take to come back before its thread counts as left behind.
const CANCEL_GRACE: Duration = Duration::from_millis(500);

/// The tasks on the pool. Dropping it lets the pool's threads end by themselves.
pub struct Runner {
    pool: Pool,
    surroundings: Arc<TaskEnv>,
    report: Report,
    live: BTreeMap<TaskId, Arc<QueuedTask>>,
    /// Tasks that were cancelled while they ran, and since when.
    leaving: HashMap<TaskId, (Arc<QueuedTask>, Instant)>,
    left: AbandonedTasks,
}

/// A cancelled task that does not come back from a closure: the thread it runs on is lost to the
/// context, which has put another one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbandonedTask {
    /// Where in the run the task stood.
    pub place: TaskAttemptId,
    /// The operation or action it works for: the closure is in that one or in a step before it.
    pub operation: Operation,
}

/// The cancelled tasks that have not come back.
#[derive(Clone, Default)]
pub struct AbandonedTasks(Arc<Mutex<BTreeMap<TaskId, AbandonedTask>>>);

impl AbandonedTasks {
    /// Those there are now.
    pub fn tasks(&self) -> Vec<AbandonedTask> {
        self.lock().values().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, AbandonedTask>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task on its way to a thread. Cancelling takes the task out again, so that nothing waits in
/// the pool's queue with a lineage in its hands.
struct QueuedTask {
    attempt: Arc<Attempt>,
    place: TaskAttemptId,
    owner: Operation,
    task: Mutex<Option<Task>>,
    began: OnceLock<Instant>,
}

impl QueuedTask {
    fn take(&self) -> Option<Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn waits(&self) -> bool {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// A stack of 8 MiB, as main threads have: closures may recurse.
const STACK_BYTES: usize = 8 << 20;

/// The threads of one context that run tasks, and what tells them from all others.
#[derive(Clone)]
pub struct Pool {
    threads: usize,
    mark: PoolId,
    inner: Arc<ThreadPool>,
}

/// What the threads of one context's pools know each other by.
#[derive(Clone, Default)]
pub struct PoolId(Arc<()>);

thread_local! {
    /// The context whose pool this thread belongs to.
    static MARK: RefCell<Option<PoolId>> = const { RefCell::new(None) };
}

impl PoolId {
    /// Whether it is the mark of the same context.
    pub fn is_same(&self, other: &PoolId) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether this thread is of a pool with the mark.
    pub fn is_on_this_thread(&self) -> bool {
        MARK.with_borrow(|mark| mark.as_ref().is_some_and(|mark| mark.is_same(self)))
    }
}

impl Pool {
    /// So many threads.
    pub fn build(threads: usize, mark: PoolId) -> Result<Pool> {
        let on_start = mark.clone();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("emberline-{number}"))
            .stack_size(STACK_BYTES)
            .start_handler(move |_| MARK.set(Some(on_start.clone())))
            // Tasks are caught where they run; without this a surprise would abort the process.
            .panic_handler(|_| {})
            .build();
        let what = || ErrorKind::Io { what: format!("starting {threads} threads") };
        let inner = pool.map_err(|error| Error::new(what()).caused_by(error))?;
        Ok(Pool { threads, mark, inner: Arc::new(inner) })
    }
}

impl Runner {
    /// A runner with no task yet.
    pub fn new(pool: Pool, surroundings: TaskEnv, report: Report, left: AbandonedTasks) -> Self {
        let (live, leaving) = Default::default();
        Runner { pool, surroundings: Arc::new(surroundings), report, live, leaving, left }
    }

    /// Queues a task behind those queued before.
    pub fn launch(&mut self, task: Task) {
        let ticket = Arc::new(QueuedTask {
            attempt: Arc::new(Attempt::new(task.id, Arc::clone(&task.right))),
            place: task.place,
            owner: task.owner,
            began: OnceLock::new(),
            task: Mutex::new(Some(task)),
        });
        self.queue(&ticket);
        self.live.insert(ticket.attempt.id(), ticket);
    }

    fn queue(&self, ticket: &Arc<QueuedTask>) {
        let ticket = Arc::clone(ticket);
        let (surroundings, report) = (Arc::clone(&self.surroundings), Arc::clone(&self.report));
        self.pool.inner.spawn_fifo(move || {
            let Some(task) = ticket.take() else { return };
            let id = task.id;
            let _ = ticket.began.set(Instant::now());
            report(Input::TaskStarted { task: id });
            let result = run(task, surroundings, &ticket.attempt);
            report(Input::TaskEnded { task: id, result });
        });
    }

    /// Stops a task: if it has not begun it never will, else it stops at its next look.
    pub fn cancel(&mut self, task: TaskId) {
        let Some(ticket) = self.live.remove(&task) else { return };
        ticket.attempt.cancel();
        match ticket.take() {
            Some(waiting) => drop_quietly(waiting),
            None => drop(self.leaving.insert(task, (ticket, Instant::now()))),
        }
    }

    /// Forgets a task that has ended.
    pub fn forget(&mut self, task: TaskId) {
        self.live.remove(&task);
        if self.leaving.remove(&task).is_some() {
            self.left.lock().remove(&task);
        }
    }

    /// Stops every task.
    pub fn cancel_all(&mut self) {
        let live: Vec<TaskId> = self.live.keys().copied().collect();
        live.into_iter().for_each(|task| self.cancel(task));
    }

    /// Whether there are tasks.
    pub fn is_busy(&self) -> bool {
        !self.live.is_empty()
    }

    /// How long tasks have been running, in microseconds.
    pub fn running(&self, now: Instant) -> Vec<(TaskId, u64)> {
        let ran = |began: &Instant| now.saturating_duration_since(*began).as_micros();
        let ran = |(task, ticket): (&TaskId, &Arc<QueuedTask>)| {
            Some((*task, ran(ticket.began.get()?).try_into().unwrap_or(u64::MAX)))
        };
        self.live.iter().filter_map(ran).collect()
    }

    /// When the next cancelled task will have been waited for long enough.
    pub fn grace_ends(&self) -> Option<Instant> {
        if self.leaving.is_empty() {
            return None;
        }
        let known = self.left.lock();
        let waited_for = self.leaving.iter().filter(|(task, _)| !known.contains_key(task));
        waited_for.map(|(_, (_, since))| *since + CANCEL_GRACE).min()
    }

    /// Gives up the threads of cancelled tasks that have not come back, and says whose they are. New
    /// threads take the place of the pool's; what waited in its queue moves over, and its other
    /// threads end with what they are doing.
    pub fn abandon_stuck(&mut self, now: Instant) -> Vec<(TaskId, AbandonedTask)> {
        let mut gone = Vec::new();
        for (task, (ticket, since)) in &self.leaving {
            if *since + CANCEL_GRACE <= now && !self.left.lock().contains_key(task) {
                let left = AbandonedTask { place: ticket.place, operation: ticket.owner };
                self.left.lock().insert(*task, left);
                gone.push((*task, left));
            }
        }
        if !gone.is_empty()
            && let Ok(pool) = Pool::build(self.pool.threads, self.pool.mark.clone())
        {
            self.pool = pool;
            let waiting = self.live.values().filter(|ticket| ticket.waits());
            waiting.for_each(|ticket| self.queue(ticket));
        }
        gone
    }
}

/// Runs a task to its end. When this returns, the thread holds nothing of the task and the context:
/// an action that returns after the last report leaves no handle behind on the pool.
fn run(task: Task, surroundings: Arc<TaskEnv>, attempted: &Arc<Attempt>) -> Result<TaskMetrics> {
    let began = Instant::now();
    let TaskEnv { config, memory, scratch } = &*surroundings;
    let (config, memory, scratch) = (Arc::clone(config), Arc::clone(memory), Arc::clone(scratch));
    let context = TaskContext::new(task.place, config, memory, scratch, Arc::clone(attempted));
    let outcome = attempt(&task, &context);
    let metrics = TaskMetrics {
        run_us: began.elapsed().as_micros().try_into().unwrap_or(u64::MAX),
        ..context.metrics()
    };
    drop(context);
    drop_quietly(task);
    drop(surroundings);
    outcome.map(|()| metrics)
}

/// The work under `catch_unwind`. What the thread noted decides over what the work returned: an
/// error that user code caught and swallowed still fails the task.
fn attempt(task: &Task, context: &TaskContext) -> Result<()> {
    let of_the_outer_task = take_failure();
    let work = || {
        faults::begin_task(context.config.faults.as_ref(), &task.place);
        match &task.work {
            Work::ShuffleMap(shuffle) => shuffle.run_map(task.place.partition, context),
            Work::Result(request) => (request.task)(context),
        }?;
        faults::end_task(context.config.faults.as_ref(), &task.place)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| as_task_of(task.owner, work)));
    let (blamed, raised) = take_failure();
    restore_failure(of_the_outer_task);
    let outcome = outcome.unwrap_or_else(|payload| Err(error_of(payload, blamed)));
    let outcome = raised.map_or(outcome, Err);
    outcome.map_err(|error| error.in_operation(task.owner))
}

/// What a caught unwinding means: the error that was raised, or a panic of the `blamed` step.
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

/// Drops a value of the user's, whose destructor may panic.
pub fn drop_quietly<T>(value: T) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(again);
    }
}

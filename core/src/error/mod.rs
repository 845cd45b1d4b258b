//! The one error of emberline: what went wrong, where in the user's program and in the run, and
//! what to do next.

use crate::ids::{JobId, RddId, ShuffleId, StageId};
use crate::operation::Operation;
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A result whose error is emberline's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error a user's closure may return from `try_map` and its siblings.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// Why an action failed. One pointer wide and cheap to clone, since one failed stage may fail
/// several jobs.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Option<Operation>,
    action: Option<Operation>,
    task: Option<TaskAttemptId>,
    attempts: usize,
    earlier: Vec<Error>,
    cause: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

/// Where in a run a task stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskAttemptId {
    /// The job that asked for the stage first.
    pub job: JobId,
    /// The stage of the task.
    pub stage: StageId,
    /// The partition the task computed.
    pub partition: usize,
    /// The attempt, from 0 up.
    pub attempt: usize,
}

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The builder was given settings that cannot work; all of them are listed.
    #[error("the context cannot be built: {}", problems.join("; "))]
    InvalidConfig {
        /// One sentence for each setting.
        problems: Vec<String>,
    },
    /// An operation was given an argument that cannot work.
    #[error("{what}")]
    InvalidArgument {
        /// What was wrong, and what would be right.
        what: String,
    },
    /// A closure panicked.
    #[error("a closure panicked: {message}")]
    Panicked {
        /// The panic's message, or a note that it had none.
        message: String,
    },
    /// A fallible closure returned an error, which is the cause.
    #[error("a closure returned an error")]
    ClosureFailed,
    /// An action was called inside a task.
    #[error(
        "an action cannot run inside a closure ({inner} was called by a task of {outer}): \
         collect the inner RDD first and hand its rows over with `.with(..)`, or use a join"
    )]
    NestedAction {
        /// The action that was refused.
        inner: String,
        /// The operation or action whose task called it.
        outer: String,
    },
    /// The process was forked after the context was built. A fork has none of the context's threads.
    #[error(
        "the context was built in process {built_in} and has no threads in process {here}, which was \
         forked from it: build the context after the fork"
    )]
    Forked {
        /// The process that built the context.
        built_in: u32,
        /// The process that asked it to run something.
        here: u32,
    },
    /// A path or pattern has no file behind it.
    #[error("no input at `{path}`: check the path or pattern ({what})")]
    InputNotFound {
        /// The path as it was given.
        path: String,
        /// What was looked for.
        what: String,
    },
    /// An input file is not what it was when it was listed.
    #[error("`{}` changed after it was listed: make the source again and rerun", path.display())]
    InputChanged {
        /// The file.
        path: PathBuf,
    },
    /// An input cannot be read as what it was said to be.
    #[error("`{}` cannot be read: {what}", path.display())]
    InvalidInput {
        /// The file.
        path: PathBuf,
        /// What was found, where, and what to do.
        what: String,
    },
    /// An output is already there; nothing was written.
    #[error(
        "`{}` already exists and was left untouched: remove it or choose another path",
        path.display()
    )]
    OutputExists {
        /// The path.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("{what}")]
    Io {
        /// What was being done, to which file.
        what: String,
    },
    /// The scratch files would take more of the disk than they may. Nothing was written past it.
    #[error(
        "scratch_quota_bytes is {quota_bytes}, {used_bytes} bytes are in scratch files and {bytes} \
         more were to be written: give a larger quota or memory_limit_bytes, or drop RDDs whose shuffles \
         are no longer read"
    )]
    ScratchQuotaExceeded {
        /// What the files may take together.
        quota_bytes: u64,
        /// What they took.
        used_bytes: u64,
        /// What was to be written.
        bytes: u64,
    },
    /// A file of the engine's own does not hold what was written.
    #[error("a scratch file is damaged: {what}")]
    Corrupt {
        /// What does not fit.
        what: String,
    },
    /// A task found a map output lost or damaged. The scheduler computes it again; a user sees
    /// this only when that failed too often.
    #[error(
        "the output of map partition {map_partition} of {shuffle} is lost{}",
        if others.is_empty() { String::new() } else { format!(", and {} others", others.len()) }
    )]
    FetchFailed {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition whose output is lost.
        map_partition: usize,
        /// The other map partitions whose outputs were found lost, since the task looked.
        others: Vec<usize>,
    },
    /// A partition of a local checkpoint is gone, and nothing can compute it again.
    #[error(
        "the block of partition {partition} of {rdd} is lost, and a local checkpoint has no lineage to \
         compute it again: run the program again, with checkpoint in place of local_checkpoint if \
         this must not happen"
    )]
    BlockLost {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
    },
    /// A checkpoint cannot be read.
    #[error("the checkpoint `{}` cannot be read: {what}", path.display())]
    InvalidCheckpoint {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A row cannot be turned to bytes, or bytes to a row.
    #[error(
        "`{type_name}` does not survive its own serialisation: {what} (serde attributes such as \
         `flatten`, `tag`, `untagged` and `skip` need a self-describing format; use plain fields)"
    )]
    NotEncodable {
        /// The row's type.
        type_name: &'static str,
        /// What the codec said.
        what: String,
    },
    /// The values of one key do not fit where they must.
    #[error(
        "a group of {rows} values needs more than a task's share of the memory budget \
         ({task_memory_limit} bytes): use `{streaming}`, which does not hold a group in a Vec, or \
         combine the values with reduce_by_key or aggregate_by_key"
    )]
    GroupTooLarge {
        /// The values in the group so far.
        rows: usize,
        /// What one task may hold.
        task_memory_limit: u64,
        /// The sibling that streams.
        streaming: &'static str,
    },
    /// The small side of a broadcast join is not small.
    #[error(
        "the small side of the join takes {bytes} bytes after {rows} rows, and a task may hold \
         {limit_bytes} of it: use join or left_outer_join, which shuffle both sides, or raise \
         task_memory_bytes and memory_limit_bytes (a task's share is the smaller of the first and an eighth of the \
         second, and the table may take a third of it or less)"
    )]
    BroadcastTooLarge {
        /// The rows in its table when it stopped; there may be more.
        rows: usize,
        /// What they took.
        bytes: u64,
        /// What they may take.
        limit_bytes: u64,
    },
    /// An action would hand more rows to the program than it may. Nothing is handed over.
    #[error(
        "{rows} rows for the program to hold are more than max_result_bytes allows \
         ({limit_bytes} bytes, a row counted as it lies in memory): write them with \
         save_as_text_file, make them fewer with aggregate or take, read them one partition at a \
         time with to_local_iterator, or set a higher limit"
    )]
    ResultTooLarge {
        /// The rows there were when it stopped; there may be many more.
        rows: u64,
        /// What they may take.
        limit_bytes: u64,
    },
    /// A partitioner named a partition that does not exist.
    #[error("a partitioner chose partition {partition} of {partitions}: answer 0..{partitions}")]
    PartitionOutOfRange {
        /// The answer.
        partition: usize,
        /// The number of partitions.
        partitions: usize,
    },
    /// The job was cancelled.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// By whom or why.
        reason: String,
    },
    /// What was spawned did not end in the time it was given.
    #[error(
        "not done within its timeout of {limit:?}, and cancelled: give more time, or make the work less"
    )]
    TimedOut {
        /// The time it was given.
        limit: Duration,
    },
    /// A map output was computed again and came out different: what had read the lost one and what
    /// reads the new one would not fit together.
    #[error(
        "the output of map partition {map_partition} of {shuffle} was lost and came out different when \
         it was computed again ({before} rows, now {now}{}): a source or closure before this operation, \
         one of {steps}, must give the same rows each time; seed random numbers by the partition, or \
         write what cannot be repeated with checkpoint first",
        if before == now { " with other keys" } else { "" }
    )]
    NotDeterministic {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition.
        map_partition: usize,
        /// The rows of the output that was lost.
        before: u64,
        /// The rows of the new one.
        now: u64,
        /// The operations that made them, and where they were called.
        steps: String,
    },
    /// A task came too late to leave its result: another attempt of it was first. The scheduler drops
    /// it; a user never sees this.
    #[error("another attempt of the task was first")]
    Superseded,
    /// A broken invariant of emberline.
    #[error("internal error, please report it: {what}")]
    Internal {
        /// The invariant.
        what: String,
    },
}

impl Error {
    /// An error with no place yet.
    pub fn new(kind: ErrorKind) -> Self {
        let (operation, action, task, earlier, cause) = (None, None, None, Vec::new(), None);
        Error(Arc::new(Inner { kind, operation, action, task, attempts: 1, earlier, cause }))
    }

    /// A disk error: `what` was being done when `cause` happened.
    pub fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        Error::new(ErrorKind::Io { what: what.into() }).caused_by(cause)
    }

    /// A damaged scratch file.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt { what: what.into() })
    }

    /// An argument that cannot work.
    pub fn invalid_argument(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument { what: what.into() })
    }

    /// Returns the error of work that was cancelled for `reason`.
    pub fn cancelled(reason: impl Into<String>) -> Self {
        Error::new(ErrorKind::Cancelled { reason: reason.into() })
    }

    /// The same error with its cause.
    pub fn caused_by(self, cause: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.cause = Some(Arc::from(cause.into())))
    }

    /// The same error, blamed on `step` unless a step is already blamed.
    pub fn in_operation(self, operation: Operation) -> Self {
        self.edit(|inner| inner.operation = inner.operation.or(Some(operation)))
    }

    /// The same error, of the job that `action` started unless that is already known.
    pub fn in_action(self, action: Operation) -> Self {
        self.edit(|inner| inner.action = inner.action.or(Some(action)))
    }

    /// The same error, found by the task at `place` unless a task is already named.
    pub fn in_task(self, place: TaskAttemptId) -> Self {
        self.edit(|inner| inner.task = inner.task.or(Some(place)))
    }

    /// The same error, which was the last after this many attempts; the others had failed with
    /// `earlier`.
    pub fn after_attempts(self, attempts: usize, earlier: Vec<Error>) -> Self {
        self.edit(|inner| (inner.attempts, inner.earlier) = (attempts, earlier))
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The operation that failed, and where the user called it.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The action that failed, and where the user called it.
    pub fn action(&self) -> Option<Operation> {
        self.0.action
    }

    /// The task that failed.
    pub fn task(&self) -> Option<TaskAttemptId> {
        self.0.task
    }

    /// How many attempts failed before the job gave up; 1 if there was no other.
    pub fn attempts(&self) -> usize {
        self.0.attempts
    }

    /// Why the attempts before the last one failed, in their order.
    pub fn earlier(&self) -> &[Error] {
        &self.0.earlier
    }

    /// The lost map output, if this is a fetch failure.
    pub fn fetch_failure(&self) -> Option<(ShuffleId, usize)> {
        match self.0.kind {
            ErrorKind::FetchFailed { shuffle, map_partition, .. } => Some((shuffle, map_partition)),
            _ => None,
        }
    }

    /// Whether another attempt may end better: the disk may, a closure will not.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Io { .. } | ErrorKind::Corrupt { .. })
    }

    /// Whether every other attempt would end the same way.
    pub fn is_final(&self) -> bool {
        use ErrorKind::{BroadcastTooLarge, NotDeterministic, ResultTooLarge};
        let kind = &self.0.kind;
        matches!(kind, ResultTooLarge { .. } | BroadcastTooLarge { .. } | NotDeterministic { .. })
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Inner {
    /// What went wrong and why, without the place.
    fn reason(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = &self.0.operation {
            write!(f, "{operation}: ")?;
        }
        let reason = self.0.reason();
        write!(f, "{reason}")?;
        if let Some(TaskAttemptId { stage, partition, attempt, .. }) = self.0.task {
            write!(f, " ({stage}, partition {partition}, attempt {attempt})")?;
        }
        if self.0.attempts > 1 {
            write!(f, " after {} attempts", self.0.attempts)?;
        }
        let mut others: Vec<String> = self.0.earlier.iter().map(|it| it.0.reason()).collect();
        others.retain(|other| *other != reason);
        others.dedup();
        if !others.is_empty() {
            write!(f, ", of which earlier ones failed with: {}", others.join("; "))?;
        }
        match &self.0.action {
            Some(action) if self.0.operation != Some(*action) => write!(f, " [{action}]"),
            _ => Ok(()),
        }
    }
}

/// The same text: it is what a `main` that returns the error prints.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| cause.as_ref() as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests;

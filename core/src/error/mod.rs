//! The error type of emberline: the cause, the operation and task that failed, and what to do next.

use crate::ids::{JobId, RddId, ShuffleId, StageId};
use crate::operation::Operation;
use crate::quiet::{Quiet, text_of};
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A result whose error type is [`Error`] by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error that a closure may return from `try_map` and similar operations.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The error of an action. It is one pointer wide and cheap to clone, because one failed stage may
/// fail several jobs.
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
    /// An error of the user, or of the system. Threads of the engine format and drop it, so its
    /// methods may panic without an effect.
    cause: Option<Arc<Quiet<BoxError>>>,
    /// True if another attempt of the task committed first.
    is_superseded: bool,
}

/// The coordinates of one attempt of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskAttemptId {
    /// The job that first needed the stage.
    pub job: JobId,
    /// The stage of the task.
    pub stage: StageId,
    /// The partition that the task computes.
    pub partition: usize,
    /// The number of the attempt, counted from 0.
    pub attempt: usize,
}

/// The kind of an error, with the values that describe it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings of a context are invalid. All problems are listed.
    #[error("the context cannot be built: {}", problems.join(". "))]
    InvalidConfig {
        /// One sentence for each problem.
        problems: Vec<String>,
    },
    /// An argument of an operation is invalid.
    #[error("{what}")]
    InvalidArgument {
        /// The problem and the valid values.
        what: String,
    },
    /// A closure panicked.
    #[error("a closure panicked: {message}")]
    Panicked {
        /// The message of the panic, or a note that it had none.
        message: String,
    },
    /// A fallible closure returned an error, which is the cause.
    #[error("a closure returned an error")]
    ClosureFailed,
    /// An action was called inside a task.
    #[error(
        "an action cannot run inside a closure ({inner} was called by a task of {outer}): \
         collect the inner RDD first and pass its rows with `.with(..)`, or use a join"
    )]
    NestedAction {
        /// The action that was refused.
        inner: String,
        /// The operation or action whose task called it.
        outer: String,
    },
    /// The process was forked after the context was built. The child has none of the threads of the
    /// context.
    #[error(
        "context used after a fork (built in process {built_pid}, called in process {current_pid}): \
         build the context after the fork"
    )]
    Forked {
        /// The process that built the context.
        built_pid: u32,
        /// The process that called the action.
        current_pid: u32,
    },
    /// No file matches a path or pattern.
    #[error("no input at `{path}`: check the path or pattern ({what})")]
    InputNotFound {
        /// The path or pattern as it was passed.
        path: String,
        /// A description of the search.
        what: String,
    },
    /// An input file changed after it was listed.
    #[error("`{}` changed after it was listed: create the source again and rerun", path.display())]
    InputChanged {
        /// The file.
        path: PathBuf,
    },
    /// An input file does not have the expected content.
    #[error("`{}` cannot be read: {what}", path.display())]
    InvalidInput {
        /// The file.
        path: PathBuf,
        /// The problem, its position, and what to do.
        what: String,
    },
    /// The output path already exists. Nothing was written.
    #[error(
        "`{}` already exists and was left untouched: remove it or choose another path",
        path.display()
    )]
    OutputExists {
        /// The path.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{what}")]
    Io {
        /// The operation that failed and its file, with advice in parentheses.
        what: String,
    },
    /// A write would exceed the quota of the scratch files. The write was not performed.
    #[error(
        "scratch quota exceeded: writing {bytes} bytes to {used_bytes} bytes of scratch files exceeds \
         scratch_quota_bytes ({quota_bytes}); raise the quota or memory_limit_bytes, or drop RDDs \
         whose shuffles are no longer read"
    )]
    ScratchQuotaExceeded {
        /// The quota of all scratch files together.
        quota_bytes: u64,
        /// The bytes in scratch files before the write.
        used_bytes: u64,
        /// The bytes of the write.
        bytes: u64,
    },
    /// The content of a scratch file differs from what was written.
    #[error("a scratch file is damaged: {what}")]
    Corrupt {
        /// The inconsistency.
        what: String,
    },
    /// A task found a map output lost or damaged. The scheduler recomputes the output; a user sees
    /// this error only after too many failed attempts.
    #[error(
        "the output of map partition {map_partition} of {shuffle} is lost{}: check the disks of the \
         scratch directories, and that no other program deletes files there",
        match others.len() {
            0 => String::new(),
            1 => ", and 1 other output".into(),
            more => format!(", and {more} other outputs"),
        }
    )]
    FetchFailed {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition whose output is lost.
        map_partition: usize,
        /// Other map partitions whose outputs the same check found lost.
        others: Vec<usize>,
    },
    /// A partition of a local checkpoint is lost and cannot be recomputed.
    #[error(
        "the block of partition {partition} of {rdd} is lost, and a local checkpoint has no lineage to \
         recompute it from: rerun the program, and use checkpoint instead of local_checkpoint if \
         blocks must survive this"
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
        /// The directory of the checkpoint.
        path: PathBuf,
        /// The problem and what to do.
        what: String,
    },
    /// A row cannot be encoded, or its bytes cannot be decoded.
    #[error("a row of type `{type_name}` does not round-trip through the row codec: {what}")]
    NotEncodable {
        /// The type of the row.
        type_name: String,
        /// The message of the codec, and what to do.
        what: String,
    },
    /// The values of one key exceed the task memory limit.
    #[error(
        "a group of {rows} values exceeds the task memory limit ({task_memory_limit_bytes} bytes): use \
         `{streaming}`, which does not hold a group in a Vec, or combine the values with \
         reduce_by_key or aggregate_by_key"
    )]
    GroupTooLarge {
        /// The values collected so far.
        rows: usize,
        /// The task memory limit.
        task_memory_limit_bytes: u64,
        /// The alternative operation that streams the values.
        streaming: &'static str,
    },
    /// The build side of a broadcast join exceeds its memory limit.
    #[error(
        "the build side of the broadcast join is too large: {bytes} bytes after {rows} rows, limit \
         {limit_bytes} bytes; use join or left_outer_join, which shuffle both sides, or raise \
         task_memory_bytes and memory_limit_bytes (the task memory limit is the smaller of the \
         first and an eighth of the second, and the table may use at most a third of it)"
    )]
    BroadcastTooLarge {
        /// The rows in the table when it reached the limit. There may be more.
        rows: usize,
        /// The size of these rows.
        bytes: u64,
        /// The memory limit of the table.
        limit_bytes: u64,
    },
    /// The rows of an action exceed the result limit. None of them is returned.
    #[error(
        "the result exceeds max_result_bytes ({limit_bytes} bytes, counting `size_of` each row) after \
         {rows} rows: write the rows with save_as_text_file, reduce them with aggregate or take, \
         read one partition at a time with to_local_iterator, or raise the limit"
    )]
    ResultTooLarge {
        /// The rows counted when the limit was reached. There may be many more.
        rows: u64,
        /// The result limit.
        limit_bytes: u64,
    },
    /// A partitioner returned a partition that does not exist.
    #[error("a partitioner returned partition {partition}; valid partitions are 0..{partitions}")]
    PartitionOutOfRange {
        /// The partition that it returned.
        partition: usize,
        /// The number of partitions.
        partitions: usize,
    },
    /// The job was cancelled.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// The reason that was passed to `cancel`.
        reason: String,
    },
    /// A spawned closure did not finish within its timeout.
    #[error("timed out after {limit:?} and cancelled: raise the timeout or reduce the work")]
    TimedOut {
        /// The timeout.
        limit: Duration,
    },
    /// A recomputed map output differs from the lost one. Tasks that read the lost output and tasks
    /// that read the new one would return inconsistent results.
    #[error(
        "the output of map partition {map_partition} of {shuffle} was lost and recomputed with different \
         contents ({rows_before} rows before, {rows_after} after{}): {}{operations} must return the same \
         rows every time; seed random numbers by the partition, or checkpoint rows that cannot be \
         reproduced",
        if rows_before == rows_after { ", with other keys" } else { "" },
        if operations.contains(", ") { "each of " } else { "" }
    )]
    NotDeterministic {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition.
        map_partition: usize,
        /// The number of rows of the lost output.
        rows_before: u64,
        /// The number of rows of the new output.
        rows_after: u64,
        /// The operations that computed the output, with their call sites.
        operations: String,
    },
    /// An error that has no kind of its own.
    #[error("{what}")]
    Other {
        /// The problem and what to do.
        what: String,
    },
}

impl Error {
    /// Returns an error without operation, task or cause.
    pub fn new(kind: ErrorKind) -> Self {
        Error(Arc::new(Inner {
            kind,
            operation: None,
            action: None,
            task: None,
            attempts: 1,
            earlier: Vec::new(),
            cause: None,
            is_superseded: false,
        }))
    }

    /// Returns the error of a failed operation of the system: `what` failed because of `cause`.
    pub fn io(what: impl Into<String>, cause: std::io::Error) -> Self {
        Error::new(ErrorKind::Io { what: what.into() }).caused_by(cause)
    }

    /// Returns the error of a damaged scratch file.
    pub fn corrupt(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::Corrupt { what: what.into() })
    }

    /// Returns the error of an invalid argument.
    pub fn invalid_argument(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidArgument { what: what.into() })
    }

    /// Returns the error of work that was cancelled for `reason`.
    pub fn cancelled(reason: impl Into<String>) -> Self {
        Error::new(ErrorKind::Cancelled { reason: reason.into() })
    }

    /// Sets the cause.
    pub fn caused_by(self, cause: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.cause = Some(Arc::new(Quiet::new(cause.into()))))
    }

    /// Sets the operation unless one is already set.
    pub fn in_operation(self, operation: Operation) -> Self {
        self.edit(|inner| inner.operation = inner.operation.or(Some(operation)))
    }

    /// Sets the action unless one is already set.
    pub fn in_action(self, action: Operation) -> Self {
        self.edit(|inner| inner.action = inner.action.or(Some(action)))
    }

    /// Sets the task attempt unless one is already set.
    pub fn in_task(self, task: TaskAttemptId) -> Self {
        self.edit(|inner| inner.task = inner.task.or(Some(task)))
    }

    /// Sets the number of attempts and the errors of all attempts before the last.
    pub fn after_attempts(self, attempts: usize, earlier: Vec<Error>) -> Self {
        self.edit(|inner| {
            inner.attempts = attempts;
            inner.earlier = earlier;
        })
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Returns the operation that failed and its call site.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// Returns the action that failed and its call site.
    pub fn action(&self) -> Option<Operation> {
        self.0.action
    }

    /// Returns the task attempt that failed.
    pub fn task(&self) -> Option<TaskAttemptId> {
        self.0.task
    }

    /// Returns the number of attempts that failed before the job was given up, at least 1.
    pub fn attempts(&self) -> usize {
        self.0.attempts
    }

    /// Returns the errors of the attempts before the last one, in order.
    pub fn earlier(&self) -> &[Error] {
        &self.0.earlier
    }

    /// Returns the shuffle and map partition of a fetch failure.
    pub fn fetch_failure(&self) -> Option<(ShuffleId, usize)> {
        match self.0.kind {
            ErrorKind::FetchFailed { shuffle, map_partition, .. } => Some((shuffle, map_partition)),
            _ => None,
        }
    }

    /// Returns true if another attempt may succeed: disk errors are transient, errors of closures
    /// are not.
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Io { .. } | ErrorKind::Corrupt { .. })
    }

    /// Returns true if every other attempt would fail in the same way.
    pub fn is_final(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::ResultTooLarge { .. }
                | ErrorKind::BroadcastTooLarge { .. }
                | ErrorKind::NotDeterministic { .. }
                | ErrorKind::NotEncodable { .. }
        )
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Inner {
    /// Formats the kind and the cause, without operation and task.
    fn reason(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{}: {}", self.kind, text_of(&***cause)),
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
            write!(f, "; earlier attempts failed with: {}", others.join("; "))?;
        }
        match &self.0.action {
            Some(action) if self.0.operation != Some(*action) => write!(f, " [{action}]"),
            _ => Ok(()),
        }
    }
}

/// Formats the same text as `Display`, because a `main` that returns the error prints its debug
/// format.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| &****cause as &(dyn StdError + 'static))
    }
}

/// Returns the error of a broken invariant. Only the engine crates call it.
pub fn internal(what: impl fmt::Display) -> Error {
    let what = format!("internal error, please report it: {what}");
    Error::new(ErrorKind::Other { what })
}

/// Returns the error of an attempt that may not commit, because another attempt of its task
/// committed first or it was cancelled. The scheduler discards it, so no user sees it.
pub(crate) fn superseded() -> Error {
    Error::cancelled("superseded by another attempt").edit(|inner| inner.is_superseded = true)
}

/// Returns true if the error was made by [`superseded`].
pub(crate) fn is_superseded(error: &Error) -> bool {
    error.0.is_superseded
}

#[cfg(test)]
mod tests;

//! Events: everything that happens in a context, as data. Progress, metrics, reports and pages read
//! only events. A separate thread delivers them, so a slow listener does not slow down tasks.

use crate::ids::{JobId, RddId, ShuffleId, StageId, TaskId};
use serde::{Deserialize, Serialize};

/// The version of the event format. It increases when a field changes its meaning; new events and
/// new fields do not change it.
pub const EVENT_VERSION: u32 = 1;

/// An event with its version and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// [`EVENT_VERSION`] of the writer.
    pub version: u32,
    /// Microseconds since the context was built.
    pub at_us: u64,
    /// The event.
    pub event: Event,
}

/// An event of a context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// The context was built.
    ContextStarted {
        /// The name of the run.
        app_name: String,
        /// The number of tasks that run at the same time.
        threads: usize,
        /// The memory limit.
        memory_limit_bytes: u64,
    },
    /// A job started.
    JobStarted {
        /// The job.
        job: JobId,
        /// The action, such as `collect`.
        action: String,
        /// The call site of the action, as `file:line`.
        call_site: String,
        /// Its stages, parents first, including those that will be skipped.
        stages: Vec<StageInfo>,
    },
    /// A stage was skipped because its map outputs are stored.
    StageSkipped {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageId,
    },
    /// The tasks of a stage were launched.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// The attempt of the stage, counted from 0. A second one starts only after a loss.
        attempt: usize,
        /// The number of tasks of this attempt.
        tasks: usize,
    },
    /// A task started.
    TaskStarted {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The number of the attempt, counted from 0.
        attempt: usize,
    },
    /// A task succeeded.
    TaskFinished {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The metrics of the task.
        metrics: TaskMetrics,
    },
    /// A task failed.
    TaskFailed {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The number of the attempt.
        attempt: usize,
        /// The text of the error.
        error: String,
    },
    /// A speculative attempt was launched, because a task takes far longer than the others of its
    /// stage.
    TaskSpeculated {
        /// The speculative attempt.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The number of the speculative attempt.
        attempt: usize,
        /// The run time of the first attempt so far, in microseconds.
        ran_us: u64,
        /// The median run time of the finished tasks.
        median_us: u64,
    },
    /// A running task was cancelled: its job ended, its stage is not needed, or another attempt of
    /// it committed. It stops at its next cancellation check.
    TaskCancelled {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The number of the attempt.
        attempt: usize,
    },
    /// A cancelled task did not return from a closure within the grace period. Its thread was
    /// abandoned and replaced.
    ThreadAbandoned {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The operation for which it runs, and the call site.
        operation: String,
    },
    /// A map output was found lost or damaged.
    OutputLost {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition.
        map_partition: usize,
    },
    /// All tasks of a stage succeeded.
    StageFinished {
        /// The stage.
        stage: StageId,
    },
    /// A job ended.
    JobFinished {
        /// The job.
        job: JobId,
        /// The text of the error, or `None` if the job succeeded.
        error: Option<String>,
    },
    /// A partition of a persisted RDD was stored.
    BlockStored {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// Its estimated size in memory.
        memory_bytes: u64,
        /// Its size in files.
        file_bytes: u64,
    },
    /// A stored partition was evicted from memory.
    BlockEvicted {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// The estimated memory that was freed.
        memory_bytes: u64,
        /// Its size in files, 0 if it is not stored any more.
        file_bytes: u64,
    },
    /// A stored partition was found lost or damaged, and is recomputed.
    BlockLost {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// The text of the error.
        error: String,
    },
    /// The blocks of an RDD were dropped.
    BlocksDropped {
        /// The RDD.
        rdd: RddId,
    },
    /// The scratch directory of a dead process was deleted.
    OrphanRemoved {
        /// The directory.
        folder: String,
    },
    /// A directory could not be searched for orphans, or an orphan could not be deleted. It stays,
    /// and the run continues.
    CleaningFailed {
        /// The directory.
        folder: String,
        /// The text of the error.
        error: String,
    },
    /// The context was dropped.
    ContextStopped,
}

/// A stage in the plan of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageInfo {
    /// The stage.
    pub stage: StageId,
    /// The shuffle that its tasks write, or `None` for the result stage.
    pub shuffle: Option<ShuffleId>,
    /// The operation at its end.
    pub operation: String,
    /// The call site of the operation, as `file:line`.
    pub call_site: String,
    /// The number of partitions.
    pub partitions: usize,
    /// The stages that it reads.
    pub parents: Vec<StageId>,
}

/// The metrics of one task.
///
/// Times add up: all time that is not reading, sorting or writing is
/// [`compute_us`](Self::compute_us). They are measured for a chunk or a run and never for a row, so
/// the merge that passes sorted rows to the next operation counts as computing, as does the time
/// that a closure waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMetrics {
    /// Rows that sources and shuffle reads returned.
    pub rows_read: u64,
    /// Rows in map outputs.
    pub rows_written: u64,
    /// The estimated memory size of these rows, whether they are in memory or in files.
    pub bytes_written: u64,
    /// Bytes written to disk, compressed: map outputs, runs of sorts and tables, and stored
    /// partitions.
    pub bytes_spilled: u64,
    /// The number of files that these bytes were written to.
    pub files_spilled: u64,
    /// The encoded size of the rows in these files before compression. Compare it with
    /// `estimated_bytes` to judge the estimate.
    pub encoded_bytes: u64,
    /// The estimated memory size of the rows in these files, by the estimate that decides where
    /// runs are cut. An encoded number takes as many bytes as its value needs and a string little
    /// more than its characters, so the estimate is usually one to eight times `encoded_bytes`. If
    /// it is far below them, the estimate was too low.
    pub estimated_bytes: u64,
    /// The maximum estimated memory that the tables, buckets and sorts of the task held at one
    /// time. Finished runs, which are counted in the memory pool, and rows held by closures are not
    /// included.
    pub peak_bytes: u64,
    /// The total time on its thread, in microseconds.
    pub run_us: u64,
    /// The time for fetching chunks of shuffles: opening, reading and decoding files.
    pub read_us: u64,
    /// The time for sorting rows and merging runs.
    pub sort_us: u64,
    /// The time for encoding, compressing and writing files.
    pub write_us: u64,
}

impl TaskMetrics {
    /// Returns the time that is not reading, sorting or writing: sources, closures, tables.
    pub fn compute_us(&self) -> u64 {
        let other = self.read_us.saturating_add(self.sort_us).saturating_add(self.write_us);
        self.run_us.saturating_sub(other)
    }

    /// Adds the metrics of another task. The peak becomes the larger of the two.
    pub fn add(&mut self, other: &TaskMetrics) {
        for (sum, part) in [
            (&mut self.rows_read, other.rows_read),
            (&mut self.rows_written, other.rows_written),
            (&mut self.bytes_written, other.bytes_written),
            (&mut self.bytes_spilled, other.bytes_spilled),
            (&mut self.files_spilled, other.files_spilled),
            (&mut self.encoded_bytes, other.encoded_bytes),
            (&mut self.estimated_bytes, other.estimated_bytes),
            (&mut self.run_us, other.run_us),
            (&mut self.read_us, other.read_us),
            (&mut self.sort_us, other.sort_us),
            (&mut self.write_us, other.write_us),
        ] {
            *sum = sum.saturating_add(part);
        }
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
    }
}

/// A listener that receives every event of a context, in order, on a separate thread.
#[doc(alias = "SparkListener")]
pub trait Listener: Send {
    /// Handles one event. A panic is caught and removes the listener; the run continues.
    fn on_event(&mut self, record: &EventRecord);
}

impl<F: FnMut(&EventRecord) + Send> Listener for F {
    fn on_event(&mut self, record: &EventRecord) {
        self(record);
    }
}

//! Everything that happens in a context, as data. Progress, metrics, reports and pages read only
//! this. Events are delivered by a thread of their own, so a slow listener slows no task.

use crate::ids::{JobId, RddId, ShuffleId, StageId, TaskId};
use serde::{Deserialize, Serialize};

/// The version of the event format. It grows when a field changes its meaning; new kinds and new
/// fields do not change it.
pub const EVENT_VERSION: u32 = 1;

/// One event with its version and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// [`EVENT_VERSION`] of the writer.
    pub version: u32,
    /// Microseconds since the context was built.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// The context was built.
    ContextStarted {
        /// The run's name.
        app_name: String,
        /// Tasks that run at the same time.
        threads: usize,
        /// The memory budget.
        memory_limit_bytes: u64,
    },
    /// An action asked for a job.
    JobStarted {
        /// The job.
        job: JobId,
        /// The action, such as `collect`.
        action: String,
        /// Where it was called, as `file:line`.
        call_site: String,
        /// Its stages, parents first; skipped ones included.
        stages: Vec<StageInfo>,
    },
    /// A stage needs no task: its map outputs are there from an earlier job.
    StageSkipped {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageId,
    },
    /// The tasks of a stage were handed to the pool.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// The attempt, from 0 up; more than one only after a loss.
        attempt: usize,
        /// How many tasks this attempt runs.
        tasks: usize,
    },
    /// A task began to run.
    TaskStarted {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// Which attempt of this partition it is, from 0 up.
        attempt: usize,
    },
    /// A task ended well.
    TaskFinished {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// What it counted.
        metrics: TaskMetrics,
    },
    /// A task ended badly.
    TaskFailed {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// Which attempt of this partition it was.
        attempt: usize,
        /// The error's text.
        error: String,
    },
    /// A task takes far longer than the others of its stage, and a copy of it was launched.
    TaskSpeculated {
        /// The copy.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// Which attempt of this partition the copy is.
        attempt: usize,
        /// How long the first one had run, in microseconds.
        ran_us: u64,
        /// The median of the tasks that had ended.
        median_us: u64,
    },
    /// A task that had begun is not wanted any more: its job ended, its stage is not needed, or
    /// another attempt of it was first. It stops at its next look.
    TaskCancelled {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// Which attempt of this partition it was.
        attempt: usize,
    },
    /// A cancelled task did not come back from a closure for a while. Its thread is left to it, and
    /// another one takes its place in the pool.
    ThreadAbandoned {
        /// The attempt of the task.
        task: TaskId,
        /// Its stage.
        stage: StageId,
        /// Its partition.
        partition: usize,
        /// The operation it worked for, and where that was called.
        operation: String,
    },
    /// A reader found a map output lost or damaged.
    OutputLost {
        /// The shuffle.
        shuffle: ShuffleId,
        /// The map partition.
        map_partition: usize,
    },
    /// All tasks of a stage ended well.
    StageFinished {
        /// The stage.
        stage: StageId,
    },
    /// A job ended.
    JobFinished {
        /// The job.
        job: JobId,
        /// The error's text, or nothing if it ended well.
        error: Option<String>,
    },
    /// A partition of a persisted RDD was stored.
    BlockStored {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// What it takes in memory, estimated.
        memory_bytes: u64,
        /// What it takes in files.
        file_bytes: u64,
    },
    /// A stored partition left the memory, since that was needed for something else.
    BlockEvicted {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// What it took in memory, estimated.
        memory_bytes: u64,
        /// What it takes in files now; 0 if it is not kept any more.
        file_bytes: u64,
    },
    /// A stored partition was found lost or damaged, and is computed again.
    BlockLost {
        /// The RDD.
        rdd: RddId,
        /// The partition.
        partition: usize,
        /// The error's text.
        error: String,
    },
    /// The blocks of an RDD were dropped.
    BlocksDropped {
        /// The RDD.
        rdd: RddId,
    },
    /// The scratch folder of a process that died was removed.
    OrphanRemoved {
        /// The folder.
        folder: String,
    },
    /// A folder could not be looked into for what died processes left, or an orphan not removed.
    /// It stays, and the run goes on.
    CleaningFailed {
        /// The folder.
        folder: String,
        /// The error's text.
        error: String,
    },
    /// The context ended.
    ContextStopped,
}

/// A stage as a job sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageInfo {
    /// The stage.
    pub stage: StageId,
    /// The shuffle its tasks write, or nothing for the stage that gives the result.
    pub shuffle: Option<ShuffleId>,
    /// The operation at its end.
    pub operation: String,
    /// Where that was called, as `file:line`.
    pub call_site: String,
    /// Its partitions.
    pub partitions: usize,
    /// The stages it reads.
    pub parents: Vec<StageId>,
}

/// What one task counted.
///
/// Times add up: what is none of reading, sorting and writing is [`compute_us`](Self::compute_us).
/// They are taken once a chunk or a run and never once a row, so the merge that hands sorted rows
/// to the next operation one at a time counts as computing, as does what a closure waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMetrics {
    /// Rows that sources and shuffle reads handed out.
    pub rows_read: u64,
    /// Rows left in a map output.
    pub rows_written: u64,
    /// What those rows take in memory, estimated, whether they lie there or in files.
    pub bytes_written: u64,
    /// Bytes that went to disk: map outputs, runs of sorts and tables, and kept partitions,
    /// compressed.
    pub bytes_spilled: u64,
    /// Files that these bytes went to.
    pub files_spilled: u64,
    /// The rows of these files as bytes, before they were compressed. It is beside
    /// `estimated_bytes` to judge that estimate.
    pub encoded_bytes: u64,
    /// What the rows of these files took in memory by the estimate that decides where tables are
    /// cut: a sample of them, counted in memory's widths. Encoded, a number takes as many bytes as
    /// its value needs and a string little more than its letters, so this is usually one to eight
    /// times `encoded_bytes`. If it is well below them, the estimate was too low, since rows take
    /// hardly less in memory: the sampled rows were not like the others.
    pub estimated_bytes: u64,
    /// The most that the tables, buckets and sorts which the task was filling held at one moment, by
    /// that estimate. Runs that are finished belong to the budget, and rows in the hands of closures
    /// to the user: neither is in it.
    pub peak_bytes: u64,
    /// The time on its thread, in microseconds.
    pub run_us: u64,
    /// Of it, fetching chunks of shuffles: opening, reading and decoding files.
    pub read_us: u64,
    /// Of it, sorting rows and merging runs ahead.
    pub sort_us: u64,
    /// Of it, encoding, compressing and writing files.
    pub write_us: u64,
}

impl TaskMetrics {
    /// The time that is none of reading, sorting and writing: sources, closures, tables.
    pub fn compute_us(&self) -> u64 {
        let other = self.read_us.saturating_add(self.sort_us).saturating_add(self.write_us);
        self.run_us.saturating_sub(other)
    }

    /// Adds what another task counted. The peak becomes the larger of the two.
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

/// Hears every event of a context, in order, on a thread of its own.
pub trait Listener: Send {
    /// Called for each event. A panic is caught and ends this listener, not the run.
    fn on_event(&mut self, record: &EventRecord);
}

impl<F: FnMut(&EventRecord) + Send> Listener for F {
    fn on_event(&mut self, record: &EventRecord) {
        self(record)
    }
}

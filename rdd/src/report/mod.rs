//! What jobs cost: `Context::jobs` and `Context::last_job`. A listener of the context's own sums up
//! events on the thread of the listeners; nothing else is read.

mod history;
mod text;

pub(crate) use history::History;

use crate::context::Context;
use emberline_core::event::{StageInfo, TaskMetrics};
use emberline_core::ids::{JobId, StageId};
use serde::{Deserialize, Serialize};

impl Context {
    /// What the last [`jobs`](Context::jobs) say of: the job that ended last, if there was one.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let pairs = ctx.range_with(4, 0..1000_u64).map(|n| (n % 10, n));
    /// let sums = pairs.with_partitions(2).reduce_by_key(|a, b| a + b);
    /// sums.collect()?;
    ///
    /// let job = ctx.last_job().unwrap();
    /// println!("{job}"); // a table of its stages
    /// assert_eq!((job.action(), job.stages().len()), ("collect", 2));
    /// assert_eq!((job.stages()[0].tasks(), job.stages()[0].totals().rows_read), (4, 1000));
    /// assert_eq!(job.totals().files_spilled, 0);
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn last_job(&self) -> Option<JobReport> {
        self.engine.flush_listeners();
        self.history.last()
    }

    /// What the last hundred jobs that ended did and cost, the one that ended first in front. An
    /// action runs a job or several; what an earlier job has computed is a skipped stage, and costs
    /// nothing again.
    ///
    /// It waits until the listeners have heard of everything so far, as
    /// [`flush_listeners`](Context::flush_listeners) does.
    ///
    /// ```
    /// # use emberline_rdd as emberline;
    /// use emberline::prelude::*;
    ///
    /// let ctx = Context::local()?;
    /// let sums = ctx.range(0..1000_u64).map(|n| (n % 10, n)).reduce_by_key(|a, b| a + b);
    /// sums.count()?;
    /// sums.collect()?;
    /// let jobs = ctx.jobs();
    /// assert_eq!(jobs.iter().map(|job| job.action()).collect::<Vec<_>>(), ["count", "collect"]);
    /// assert!(jobs[1].stages()[0].is_skipped());
    /// # Ok::<(), emberline_rdd::Error>(())
    /// ```
    pub fn jobs(&self) -> Vec<JobReport> {
        self.engine.flush_listeners();
        self.history.all()
    }
}

/// What one job did and cost. Its text is a table of its stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    job: JobId,
    action: String,
    call_site: String,
    error: Option<String>,
    wall_us: u64,
    stages: Vec<StageReport>,
}

impl JobReport {
    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The action that ran it, such as `collect`.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Where that was called, as `file:line`.
    pub fn call_site(&self) -> &str {
        &self.call_site
    }

    /// The text of the error it ended with, if it did.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// From the call to its end, in microseconds. The tasks of a job run at the same time, so the sum
    /// of their times may be more.
    pub fn wall_us(&self) -> u64 {
        self.wall_us
    }

    /// Its stages, parents first.
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// What the tasks of all stages counted together; of peaks the largest.
    pub fn totals(&self) -> TaskMetrics {
        let mut totals = TaskMetrics::default();
        self.stages.iter().for_each(|stage| totals.add(&stage.totals));
        totals
    }

    /// Tasks that ended well, of all stages.
    pub fn tasks(&self) -> usize {
        self.stages.iter().map(|stage| stage.tasks).sum()
    }

    /// Tasks that began, of all stages.
    pub fn attempts(&self) -> usize {
        self.stages.iter().map(|stage| stage.attempts).sum()
    }
}

/// What the tasks of one stage did and cost while one job ran. Of a stage that two jobs share, each
/// has in it what it saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    stage: StageId,
    operation: String,
    call_site: String,
    skipped: bool,
    attempts: usize,
    tasks: usize,
    totals: TaskMetrics,
    slowest_us: u64,
    median_us: u64,
}

impl StageReport {
    fn new(info: &StageInfo) -> Self {
        StageReport {
            stage: info.stage,
            operation: info.operation.clone(),
            call_site: info.call_site.clone(),
            skipped: false,
            attempts: 0,
            tasks: 0,
            totals: TaskMetrics::default(),
            slowest_us: 0,
            median_us: 0,
        }
    }

    /// The stage.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// The operation at its end.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Where that was called, as `file:line`.
    pub fn call_site(&self) -> &str {
        &self.call_site
    }

    /// Whether its outputs were there from an earlier job.
    pub fn is_skipped(&self) -> bool {
        self.skipped
    }

    /// Tasks that ended well.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// Tasks that began: more than [`tasks`](Self::tasks) if some failed or were cancelled.
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// What the tasks that ended well counted together; of peaks the largest.
    pub fn totals(&self) -> TaskMetrics {
        self.totals
    }

    /// The time of the slowest task that ended well, in microseconds.
    pub fn slowest_us(&self) -> u64 {
        self.slowest_us
    }

    /// The time that half of these tasks did not need, in microseconds.
    pub fn median_us(&self) -> u64 {
        self.median_us
    }

    /// How many times as long as the median task the slowest one took: 1 where all are alike. Far
    /// above that, few partitions have most of the rows.
    pub fn skew(&self) -> f64 {
        self.slowest_us.max(1) as f64 / self.median_us.max(1) as f64
    }
}

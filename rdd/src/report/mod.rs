//! Reports of jobs: [`Context::jobs`] and [`Context::last_job`], built from events.
//! - `history`: the listener that builds them, on its own thread, and the last hundred.
//! - `text`: a report as a table.

mod history;
mod text;

pub(crate) use history::History;

use crate::context::Context;
use emberline_core::event::{StageInfo, TaskMetrics};
use emberline_core::ids::{JobId, StageId};
use serde::{Deserialize, Serialize};

/// # Job reports
impl Context {
    /// Returns the report of the job that ended last.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let pairs = ctx.range_with(4, 0..1000_u64).map(|n| (n % 10, n));
    /// let sums = pairs.with_partitions(2).reduce_by_key(|a, b| a + b);
    /// sums.collect()?;
    /// let job = ctx.last_job().unwrap();
    /// println!("{job}"); // a table of its stages
    /// assert_eq!((job.action(), job.stages().len()), ("collect", 2));
    /// assert_eq!((job.stages()[0].tasks(), job.stages()[0].totals().rows_read), (4, 1000));
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "StatusTracker")]
    pub fn last_job(&self) -> Option<JobReport> {
        self.engine.flush_listeners();
        self.history.last()
    }

    /// Returns the reports of the last hundred jobs, in the order in which they ended.
    ///
    /// An action runs one or several jobs. A stage whose output exists from an earlier job is
    /// skipped and costs nothing. Waits for the listeners, as
    /// [`flush_listeners`](Context::flush_listeners) does.
    ///
    /// ```
    /// # use emberline_rdd::prelude::*;
    /// let ctx = Context::local()?;
    /// let sums = ctx.range(0..1000_u64).map(|n| (n % 10, n)).reduce_by_key(|a, b| a + b);
    /// sums.count()?;
    /// sums.collect()?;
    /// let jobs = ctx.jobs();
    /// assert_eq!(jobs.iter().map(|job| job.action()).collect::<Vec<_>>(), ["count", "collect"]);
    /// assert!(jobs[1].stages()[0].is_skipped());
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "StatusTracker")]
    pub fn jobs(&self) -> Vec<JobReport> {
        self.engine.flush_listeners();
        self.history.all()
    }
}

/// The report of one job. It displays as a table of its stages.
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
    /// Returns the id of the job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Returns the action that ran the job, such as `collect`.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Returns its call site, as `file:line`.
    pub fn call_site(&self) -> &str {
        &self.call_site
    }

    /// Returns the text of the error, if the job failed.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the wall-clock time in microseconds, which the sum of task times may exceed.
    pub fn wall_us(&self) -> u64 {
        self.wall_us
    }

    /// Returns the stages, parents first.
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// Returns the sum of the metrics of all stages, and the largest of peaks.
    pub fn totals(&self) -> TaskMetrics {
        let mut totals = TaskMetrics::default();
        self.stages.iter().for_each(|stage| totals.add(&stage.totals));
        totals
    }

    /// Returns the number of successful tasks in all stages.
    pub fn tasks(&self) -> usize {
        self.stages.iter().map(|stage| stage.tasks).sum()
    }

    /// Returns the number of started attempts in all stages.
    pub fn attempts(&self) -> usize {
        self.stages.iter().map(|stage| stage.attempts).sum()
    }
}

/// The report of one stage in one job, with the tasks of the stage that ran during the job.
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

    /// Returns the id of the stage.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// Returns the operation at the end of the stage.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Returns its call site, as `file:line`.
    pub fn call_site(&self) -> &str {
        &self.call_site
    }

    /// Returns true if the outputs existed from an earlier job.
    pub fn is_skipped(&self) -> bool {
        self.skipped
    }

    /// Returns the number of successful tasks.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// Returns the number of started attempts, including failed and cancelled ones.
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Returns the sum of the metrics of successful tasks, and the largest of peaks.
    pub fn totals(&self) -> TaskMetrics {
        self.totals
    }

    /// Returns the time of the slowest successful task, in microseconds.
    pub fn slowest_us(&self) -> u64 {
        self.slowest_us
    }

    /// Returns the median time of successful tasks, in microseconds.
    pub fn median_us(&self) -> u64 {
        self.median_us
    }

    /// Returns the time of the slowest task divided by the median: 1 if all are alike. A large
    /// value means that a few partitions have most of the rows.
    pub fn skew(&self) -> f64 {
        self.slowest_us.max(1) as f64 / self.median_us.max(1) as f64
    }
}

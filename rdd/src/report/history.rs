//! The listener that builds job reports from events.

use super::{JobReport, StageReport};
use emberline_core::event::{Event, EventRecord, Listener, TaskMetrics};
use emberline_core::ids::{JobId, StageId};
use emberline_core::sync::{Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Number of reports that are retained.
const MAX_JOBS: usize = 100;

/// The reports of the last jobs of one context. Clones refer to the same reports.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<VecDeque<JobReport>>>);

impl History {
    pub(crate) fn last(&self) -> Option<JobReport> {
        self.lock().back().cloned()
    }

    pub(crate) fn all(&self) -> Vec<JobReport> {
        self.lock().iter().cloned().collect()
    }

    /// Returns the listener that adds reports.
    pub(crate) fn listener(&self) -> impl Listener + 'static {
        ReportBuilder { running: BTreeMap::new(), history: self.clone() }
    }

    fn add(&self, report: JobReport) {
        let mut jobs = self.lock();
        if jobs.len() == MAX_JOBS {
            jobs.pop_front();
        }
        jobs.push_back(report);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<JobReport>> {
        self.0.lock()
    }
}

/// Builds the reports of running jobs, and adds them to the history when they end.
struct ReportBuilder {
    running: BTreeMap<JobId, Running>,
    history: History,
}

/// The report of a running job, and the task times of each stage for the median.
struct Running {
    began_us: u64,
    report: JobReport,
    /// Four bytes for each task: times above an hour count as one hour and a few minutes.
    times: Vec<Vec<u32>>,
}

impl Running {
    /// Updates the report of a stage, if it belongs to this job.
    fn change(&mut self, stage: StageId, change: impl FnOnce(&mut StageReport, &mut Vec<u32>)) {
        let mut stages = self.report.stages.iter_mut().zip(&mut self.times);
        if let Some((report, times)) = stages.find(|(report, _)| report.stage == stage) {
            change(report, times);
        }
    }

    fn end(mut self, at_us: u64, error: Option<String>) -> JobReport {
        self.report.error = error;
        self.report.wall_us = at_us.saturating_sub(self.began_us);
        for (stage, times) in self.report.stages.iter_mut().zip(&mut self.times) {
            times.sort_unstable();
            stage.median_us = times.get(times.len() / 2).copied().unwrap_or(0).into();
        }
        self.report
    }
}

impl ReportBuilder {
    /// Updates a stage in every running job that has it: jobs may share a stage.
    fn change(&mut self, stage: StageId, change: impl Fn(&mut StageReport, &mut Vec<u32>)) {
        self.running.values_mut().for_each(|running| running.change(stage, &change));
    }

    fn finished(&mut self, stage: StageId, metrics: &TaskMetrics) {
        self.change(stage, |report, times| {
            report.tasks += 1;
            report.totals.add(metrics);
            report.slowest_us = report.slowest_us.max(metrics.run_us);
            times.push(u32::try_from(metrics.run_us).unwrap_or(u32::MAX));
        });
    }
}

impl Listener for ReportBuilder {
    fn on_event(&mut self, record: &EventRecord) {
        match &record.event {
            Event::JobStarted { job, action, call_site, stages } => {
                let report = JobReport {
                    job: *job,
                    action: action.clone(),
                    call_site: call_site.clone(),
                    error: None,
                    wall_us: 0,
                    stages: stages.iter().map(StageReport::new).collect(),
                };
                let times = vec![Vec::new(); stages.len()];
                self.running.insert(*job, Running { began_us: record.at_us, report, times });
            }
            Event::StageSkipped { job, stage } => {
                if let Some(running) = self.running.get_mut(job) {
                    running.change(*stage, |report, _| report.skipped = true);
                }
            }
            Event::TaskStarted { stage, .. } => {
                self.change(*stage, |report, _| {
                    // A skipped stage runs after all if its output is lost.
                    report.skipped = false;
                    report.attempts += 1;
                });
            }
            Event::TaskFinished { stage, metrics, .. } => self.finished(*stage, metrics),
            Event::JobFinished { job, error } => {
                if let Some(running) = self.running.remove(job) {
                    self.history.add(running.end(record.at_us, error.clone()));
                }
            }
            _ => {}
        }
    }
}

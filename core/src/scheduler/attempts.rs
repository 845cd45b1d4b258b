//! The attempts of a slot: the first one, retries, and speculative attempts.

use super::stage::RunningAttempt;
use super::{Command, Scheduler, Task};
use crate::config::Speculation;
use crate::error::TaskAttemptId;
use crate::event::Event;
use crate::ids::{StageId, TaskId};
use std::collections::BTreeMap;

/// The run times that decide whether a task is a straggler, in microseconds.
struct Threshold {
    median_us: u64,
    straggler_us: u64,
}

impl Scheduler {
    /// Launches an attempt of a slot, in addition to the live one if there is one.
    pub(super) fn launch_attempt(&mut self, id: StageId, slot: usize) -> Option<TaskId> {
        let stage = self.stages.get_mut(&id)?;
        // The oldest job that still runs, because the first may have ended before the stage did.
        let job = stage.jobs.first().copied()?;
        let task = TaskId(self.next_task);
        self.next_task += 1;
        let partition = stage.partition(slot);
        let owner = stage.owner();
        let work = stage.work();
        let stage_attempt = stage.attempts;
        let (attempt, right) = stage.slots.launch(slot, task);
        let attempt_id = TaskAttemptId { job, stage: id, partition, attempt };
        let live = RunningAttempt {
            attempt_id,
            slot,
            stage_attempt,
            started_at: self.now,
            has_started: false,
        };
        self.tasks.insert(task, live);
        self.commands.push(Command::Launch(Task { id: task, attempt_id, work, owner, right }));
        Some(task)
    }

    /// Cancels an attempt and forgets it. Its end will be ignored.
    pub(super) fn cancel_attempt(&mut self, task: TaskId) {
        let Some(live) = self.tasks.remove(&task) else { return };
        self.commands.push(Command::CancelTask(task));
        if live.has_started {
            self.emit(cancelled_event(task, live.attempt_id));
        }
    }

    /// Launches speculative attempts for stragglers. `running` lists how long tasks have been
    /// running, in microseconds.
    pub(super) fn speculate(&mut self, running: &[(TaskId, u64)]) {
        let Some(speculation) = self.limits.speculation else { return };
        let mut by_stage: BTreeMap<StageId, Vec<(usize, u64)>> = BTreeMap::new();
        for (task, ran_us) in running {
            if let Some(live) = self.tasks.get(task) {
                by_stage.entry(live.attempt_id.stage).or_default().push((live.slot, *ran_us));
            }
        }
        for (id, running) in by_stage {
            let Some(threshold) = self.threshold(id, &speculation) else { continue };
            for (slot, ran_us) in running {
                let has_one = self.stages.get(&id).is_some_and(|it| it.slots.has_one_attempt(slot));
                if has_one && ran_us > threshold.straggler_us {
                    self.launch_speculative(id, slot, ran_us, threshold.median_us);
                }
            }
        }
    }

    /// Returns the median run time of the finished tasks of a stage and the run time from which a
    /// task is a straggler, or `None` while too few tasks have finished.
    fn threshold(&mut self, id: StageId, speculation: &Speculation) -> Option<Threshold> {
        let stage = self.stages.get_mut(&id)?;
        let min_done = (speculation.quantile * stage.slots.len() as f64) as usize;
        if stage.run_times_us.is_empty() || stage.slots.done() < min_done.max(1) {
            return None;
        }
        let middle = stage.run_times_us.len() / 2;
        let (_, median_us, _) = stage.run_times_us.select_nth_unstable(middle);
        let min_us = speculation.min_runtime.as_micros().try_into().unwrap_or(u64::MAX);
        let multiple_us = (*median_us as f64 * speculation.multiplier) as u64;
        Some(Threshold { median_us: *median_us, straggler_us: multiple_us.max(min_us) })
    }

    /// Launches a speculative attempt of a slot.
    fn launch_speculative(&mut self, id: StageId, slot: usize, ran_us: u64, median_us: u64) {
        let Some(task) = self.launch_attempt(id, slot) else { return };
        let Some(TaskAttemptId { stage, partition, attempt, .. }) = self.attempt_id(task) else {
            return;
        };
        self.emit(Event::TaskSpeculated { task, stage, partition, attempt, ran_us, median_us });
    }

    fn attempt_id(&self, task: TaskId) -> Option<TaskAttemptId> {
        self.tasks.get(&task).map(|live| live.attempt_id)
    }
}

/// Returns the event of a cancelled attempt.
pub(super) fn cancelled_event(task: TaskId, attempt_id: TaskAttemptId) -> Event {
    let TaskAttemptId { stage, partition, attempt, .. } = attempt_id;
    Event::TaskCancelled { task, stage, partition, attempt }
}

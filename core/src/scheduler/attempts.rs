//! The attempts of a slot: the first, those after a failure, and the copy of a straggler.

use super::stage::RunningAttempt;
use super::{Command, Scheduler, Task};
use crate::config::Speculation;
use crate::error::TaskAttemptId;
use crate::event::Event;
use crate::ids::{StageId, TaskId};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Scheduler {
    /// Launches an attempt of a slot, beside the one that is live if there is one.
    pub(super) fn launch_attempt(&mut self, id: StageId, slot: usize) -> Option<TaskId> {
        let stage = self.stages.get_mut(&id)?;
        // The oldest job that still lives: the first may have ended before the stage did.
        let job = stage.jobs.first().copied()?;
        let task = TaskId(self.next_task);
        self.next_task += 1;
        let (partition, owner, work) = (stage.partition(slot), stage.owner(), stage.work());
        let (stage_attempt, began) = (stage.attempts, self.now);
        let state = &mut stage.slots[slot];
        let place = TaskAttemptId { job, stage: id, partition, attempt: state.launches as usize };
        state.launches += 1;
        if state.live.is_empty() {
            // An attempt of old that is still on its way has another right, and leaves nothing.
            state.right = None;
        }
        state.live.push(task);
        let right = Arc::clone(state.right.get_or_insert_default());
        let live = RunningAttempt { place, slot, stage_attempt, began, has_begun: false };
        self.tasks.insert(task, live);
        self.commands.push(Command::Launch(Task { id: task, place, work, owner, right }));
        Some(task)
    }

    /// Stops an attempt and forgets it. Its end is heard by nobody.
    pub(super) fn cancel_attempt(&mut self, task: TaskId) {
        let Some(live) = self.tasks.remove(&task) else { return };
        self.commands.push(Command::CancelTask(task));
        if live.has_begun {
            self.emit(cancelled(task, live.place));
        }
    }

    /// Launches copies of stragglers. `running` says how long tasks have been running, in microseconds.
    pub(super) fn copy_stragglers(&mut self, running: &[(TaskId, u64)]) {
        let Some(speculation) = self.limits.speculation else { return };
        let mut by_stage: BTreeMap<StageId, Vec<(usize, u64)>> = BTreeMap::new();
        for (task, ran_us) in running {
            if let Some(live) = self.tasks.get(task) {
                by_stage.entry(live.place.stage).or_default().push((live.slot, *ran_us));
            }
        }
        for (id, running) in by_stage {
            let Some((median_us, threshold_us)) = self.threshold(id, &speculation) else {
                continue;
            };
            for (slot, ran_us) in running {
                let live = self.stages.get(&id).map_or(0, |it| it.slots[slot].live.len());
                if live == 1 && ran_us > threshold_us {
                    self.copy(id, slot, (ran_us, median_us));
                }
            }
        }
    }

    /// The median of the finished tasks of a stage, and how long a task may run without a copy; nothing
    /// while too few have finished.
    fn threshold(&mut self, id: StageId, speculation: &Speculation) -> Option<(u64, u64)> {
        let stage = self.stages.get_mut(&id)?;
        let enough = (speculation.quantile * stage.slots.len() as f64) as usize;
        if stage.times.is_empty() || stage.slots_done() < enough.max(1) {
            return None;
        }
        let middle = stage.times.len() / 2;
        let (_, median_us, _) = stage.times.select_nth_unstable(middle);
        let min_runtime_us = speculation.min_runtime.as_micros().try_into().unwrap_or(u64::MAX);
        let threshold_us = (*median_us as f64 * speculation.multiplier) as u64;
        Some((*median_us, threshold_us.max(min_runtime_us)))
    }

    fn copy(&mut self, id: StageId, slot: usize, (ran_us, median_us): (u64, u64)) {
        let Some(task) = self.launch_attempt(id, slot) else { return };
        let Some(TaskAttemptId { stage, partition, attempt, .. }) = self.place_of(task) else {
            return;
        };
        self.emit(Event::TaskSpeculated { task, stage, partition, attempt, ran_us, median_us });
    }

    fn place_of(&self, task: TaskId) -> Option<TaskAttemptId> {
        self.tasks.get(&task).map(|live| live.place)
    }
}

/// The event of an attempt that is not wanted any more.
pub(super) fn cancelled(task: TaskId, place: TaskAttemptId) -> Event {
    let TaskAttemptId { stage, partition, attempt, .. } = place;
    Event::TaskCancelled { task, stage, partition, attempt }
}

//! Progress on a terminal: one line for each stage that has run for half a second.

use crate::event::{Event, EventRecord, Listener, StageInfo};
use crate::ids::{JobId, StageId, TaskId};
use crate::sync::{Mutex, MutexGuard};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The minimum run time of a stage that is shown, in microseconds.
const SHOWN_AFTER_US: u64 = 500_000;

/// The maximum number of lines.
const MAX_LINES: usize = 3;

/// The interval between two redraws.
const REDRAW: Duration = Duration::from_millis(100);

/// Draws the running stages on standard error. A separate thread redraws them, since a long task
/// emits no events.
pub struct ConsoleListener {
    screen: Arc<Mutex<Screen>>,
    /// Dropped first, which ends the thread.
    stop: Option<Sender<()>>,
    painter: Option<JoinHandle<()>>,
}

impl ConsoleListener {
    /// Returns a listener, or `None` if standard error is not a terminal.
    pub fn new() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        Self::drawing_on(ProgressDrawTarget::stderr())
    }

    fn drawing_on(target: ProgressDrawTarget) -> Option<Self> {
        let screen = Arc::new(Mutex::new(Screen::on(target)));
        let (stop, stopped) = mpsc::channel();
        let painted = Arc::clone(&screen);
        let paint = move || {
            while stopped.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout) {
                lock(&painted).draw();
            }
        };
        let painter = thread::Builder::new().name("emberline-console".into()).spawn(paint).ok()?;
        Some(ConsoleListener { screen, stop: Some(stop), painter: Some(painter) })
    }
}

impl Listener for ConsoleListener {
    fn on_event(&mut self, record: &EventRecord) {
        lock(&self.screen).handle(record);
    }
}

impl Drop for ConsoleListener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(painter) = self.painter.take() {
            // The thread only draws, so its panic is ignored.
            let _ = painter.join();
        }
        lock(&self.screen).truncate_bars(0);
    }
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock()
}

/// The lines as indicatif bars.
struct Screen {
    progress: Progress,
    /// The time of the last event, in event time and on the local clock.
    last_event_us: u64,
    last_event_at: Instant,
    terminal: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl Screen {
    fn on(target: ProgressDrawTarget) -> Self {
        let terminal = MultiProgress::with_draw_target(target);
        Screen {
            progress: Progress::default(),
            last_event_us: 0,
            last_event_at: Instant::now(),
            terminal,
            bars: vec![],
        }
    }

    fn handle(&mut self, record: &EventRecord) {
        self.progress.handle(record);
        self.last_event_us = record.at_us;
        self.last_event_at = Instant::now();
        // An ended stage is cleared at once, because the program may print its result next.
        if matches!(record.event, Event::StageFinished { .. } | Event::JobFinished { .. }) {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let elapsed = self.last_event_at.elapsed();
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let lines = self.progress.lines(self.last_event_us.saturating_add(elapsed_us));
        self.truncate_bars(lines.len());
        while self.bars.len() < lines.len() {
            // `wide_msg` truncates the text at the edge of the terminal, so that a line stays one
            // line.
            let style = ProgressStyle::with_template("{wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self.terminal.add(ProgressBar::new_spinner().with_style(style));
            self.bars.push(bar);
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line);
        }
    }

    /// Removes all bars after the first `max`.
    fn truncate_bars(&mut self, max: usize) {
        for bar in self.bars.drain(max.min(self.bars.len())..).rev() {
            bar.finish_and_clear();
            self.terminal.remove(&bar);
        }
    }
}

/// The state of the running stages according to the events. It knows no terminal and no clock.
#[derive(Default)]
struct Progress {
    jobs: HashMap<JobId, Vec<StageInfo>>,
    running: BTreeMap<StageId, RunningStage>,
}

/// A stage between its start and its end.
struct RunningStage {
    name: String,
    started_us: u64,
    tasks: usize,
    done: usize,
    running: HashSet<TaskId>,
    rows: u64,
}

impl Progress {
    fn handle(&mut self, record: &EventRecord) {
        match &record.event {
            Event::JobStarted { job, stages, .. } => {
                self.jobs.insert(*job, stages.clone());
            }
            Event::StageStarted { stage, tasks, .. } => {
                let started = RunningStage::new(self.name_of(*stage), record.at_us, *tasks);
                self.running.insert(*stage, started);
            }
            Event::TaskStarted { task, stage, .. } => {
                self.in_stage(*stage, |running| {
                    running.running.insert(*task);
                });
            }
            Event::TaskFinished { task, stage, metrics, .. } => {
                self.in_stage(*stage, |running| {
                    running.running.remove(task);
                    running.done += 1;
                    running.rows = running.rows.saturating_add(metrics.rows_read);
                });
            }
            Event::TaskFailed { task, stage, .. } | Event::TaskCancelled { task, stage, .. } => {
                self.in_stage(*stage, |running| {
                    running.running.remove(task);
                });
            }
            Event::StageFinished { stage } => {
                self.running.remove(stage);
            }
            Event::JobFinished { job, .. } => self.end_job(*job),
            Event::ContextStopped => *self = Progress::default(),
            _ => {}
        }
    }

    /// Returns the lines to show at `now_us`: one for each of the oldest running stages.
    fn lines(&self, now_us: u64) -> Vec<String> {
        let is_shown = |stage: &&RunningStage| stage.age_us(now_us) >= SHOWN_AFTER_US;
        let shown = self.running.values().filter(is_shown).take(MAX_LINES);
        shown.map(|stage| stage.line(now_us)).collect()
    }

    fn in_stage(&mut self, stage: StageId, change: impl FnOnce(&mut RunningStage)) {
        if let Some(running) = self.running.get_mut(&stage) {
            change(running);
        }
    }

    /// Removes a job, and the unfinished stages for which no other job waits.
    fn end_job(&mut self, job: JobId) {
        for ended in self.jobs.remove(&job).unwrap_or_default() {
            if self.info_of(ended.stage).is_none() {
                self.running.remove(&ended.stage);
            }
        }
    }

    fn info_of(&self, stage: StageId) -> Option<&StageInfo> {
        self.jobs.values().flatten().find(|info| info.stage == stage)
    }

    fn name_of(&self, stage: StageId) -> String {
        self.info_of(stage).map_or_else(
            || stage.to_string(),
            |info| printable(&format!("{stage} {} at {}", info.operation, info.call_site)),
        )
    }
}

impl RunningStage {
    fn new(name: String, started_us: u64, tasks: usize) -> Self {
        RunningStage { name, started_us, tasks, done: 0, running: HashSet::new(), rows: 0 }
    }

    fn age_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.started_us)
    }

    /// Formats a stage as `[stage 3 reduce_by_key at src/main.rs:41] 12 + 2 / 16 1.2M rows/s`:
    /// finished and running tasks of all tasks, and the rows that finished tasks read for each
    /// second so far.
    fn line(&self, now_us: u64) -> String {
        let RunningStage { name, tasks, done, running, .. } = self;
        let line = format!("[{name}] {done} + {} / {tasks}", running.len());
        match self.age_us(now_us) {
            age if age > 0 && self.rows > 0 => {
                let rows_per_second = self.rows as f64 * 1e6 / age as f64;
                format!("{line}  {} rows/s", short(rows_per_second))
            }
            _ => line,
        }
    }
}

/// Formats a number with few characters: `950`, `1.2k`, `34M`.
fn short(number: f64) -> String {
    let mut scaled = number;
    for unit in ["", "k", "M", "G"] {
        // A number that would round up to 1000 belongs to the next unit.
        if scaled < 999.5 {
            let decimals = usize::from(!unit.is_empty() && scaled < 9.95);
            return format!("{scaled:.decimals$}{unit}");
        }
        scaled /= 1e3;
    }
    format!("{scaled:.0}T")
}

/// Removes control characters, so that a file name cannot control the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EVENT_VERSION, TaskMetrics};

    const STAGE: StageId = StageId(3);

    fn at(at_us: u64, event: Event) -> EventRecord {
        EventRecord { version: EVENT_VERSION, at_us, event }
    }

    fn job(job: u64, stages: &[u64]) -> Event {
        let info = |stage: &u64| StageInfo {
            stage: StageId(*stage),
            shuffle: None,
            operation: "reduce_by_key".into(),
            call_site: "src/main.rs:41".into(),
            partitions: 16,
            parents: vec![],
        };
        Event::JobStarted {
            job: JobId(job),
            action: "collect".into(),
            call_site: "src/main.rs:50".into(),
            stages: stages.iter().map(info).collect(),
        }
    }

    fn stage_started(stage: u64) -> Event {
        Event::StageStarted { stage: StageId(stage), attempt: 0, tasks: 16 }
    }

    fn task_started(task: u64) -> Event {
        Event::TaskStarted { task: TaskId(task), stage: STAGE, partition: 0, attempt: 0 }
    }

    fn task_finished(task: u64, rows_read: u64) -> Event {
        let metrics = TaskMetrics { rows_read, ..TaskMetrics::default() };
        Event::TaskFinished { task: TaskId(task), stage: STAGE, partition: 0, metrics }
    }

    fn task_failed(task: u64) -> Event {
        let error = String::from("no");
        Event::TaskFailed { task: TaskId(task), stage: STAGE, partition: 0, attempt: 0, error }
    }

    fn progress_after(events: impl IntoIterator<Item = Event>) -> Progress {
        let mut progress = Progress::default();
        events.into_iter().for_each(|event| progress.handle(&at(0, event)));
        progress
    }

    #[test]
    fn a_line_shows_finished_running_and_all_tasks_and_rows_per_second() {
        let mut progress = progress_after([job(0, &[3]), stage_started(3)]);
        for task in 0..14 {
            progress.handle(&at(1, task_started(task)));
        }
        for task in 0..12 {
            progress.handle(&at(2, task_finished(task, 200_000)));
        }
        let line = "[stage 3 reduce_by_key at src/main.rs:41] 12 + 2 / 16  1.2M rows/s";
        assert_eq!(progress.lines(2_000_000), [line]);
    }

    #[test]
    fn a_short_stage_is_not_shown() {
        let progress = progress_after([job(0, &[3]), stage_started(3)]);
        assert!(progress.lines(499_999).is_empty());
        assert_eq!(progress.lines(500_000).len(), 1);
    }

    #[test]
    fn only_the_three_oldest_stages_are_shown() {
        let started = (1..=5).map(stage_started);
        let lines =
            progress_after([job(0, &[1, 2, 3, 4, 5])].into_iter().chain(started)).lines(600_000);
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].starts_with("[stage 1 ") && lines[2].starts_with("[stage 3 "),
            "{lines:?}"
        );
    }

    #[test]
    fn a_failed_task_is_neither_running_nor_finished() {
        let progress =
            progress_after([job(0, &[3]), stage_started(3), task_started(1), task_failed(1)]);
        assert!(progress.lines(600_000)[0].ends_with("] 0 + 0 / 16"));
    }

    #[test]
    fn a_second_attempt_of_a_stage_starts_at_zero() {
        let restarted = Event::StageStarted { stage: STAGE, attempt: 1, tasks: 2 };
        let events =
            [job(0, &[3]), stage_started(3), task_started(1), task_finished(1, 5), restarted];
        assert!(progress_after(events).lines(600_000)[0].ends_with("] 0 + 0 / 2"));
    }

    #[test]
    fn lines_are_removed_when_their_stage_or_job_ends() {
        let mut progress = progress_after([job(0, &[3]), stage_started(3)]);
        progress.handle(&at(0, Event::StageFinished { stage: STAGE }));
        assert!(progress.lines(600_000).is_empty());

        let ended = |job| Event::JobFinished { job: JobId(job), error: Some("no".into()) };
        let mut progress = progress_after([job(0, &[3]), job(1, &[3]), stage_started(3), ended(0)]);
        assert_eq!(progress.lines(600_000).len(), 1, "job 1 still waits for the stage");
        progress.handle(&at(0, ended(1)));
        assert!(progress.lines(600_000).is_empty());
    }

    #[test]
    fn a_name_cannot_control_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\n\u{9b}c\u{7f}d"), "a[2Jbcd");
    }

    #[test]
    fn numbers_are_formatted_with_few_characters() {
        let numbers =
            [0.4, 950.0, 999.6, 1234.0, 9_960.0, 34_000_000.0, 999_700_000.0, 2e9, 5e12, 1e300];
        let texts: Vec<String> = numbers.into_iter().take(9).map(short).collect();
        assert_eq!(texts, ["0", "950", "1.0k", "1.2k", "10k", "34M", "1.0G", "2.0G", "5T"]);
    }

    #[test]
    fn a_listener_draws_and_clears_without_a_terminal() {
        testkit::within(testkit::DEADLINE, draws_and_clears);
    }

    fn draws_and_clears() {
        let mut listener = ConsoleListener::drawing_on(ProgressDrawTarget::hidden()).unwrap();
        for event in [job(0, &[3]), stage_started(3), task_started(1)] {
            listener.on_event(&at(0, event));
        }
        let bars = |listener: &ConsoleListener| {
            let mut screen = lock(&listener.screen);
            screen.draw();
            screen.bars.len()
        };
        assert_eq!(bars(&listener), 0);
        listener.on_event(&at(700_000, task_finished(1, 10)));
        assert_eq!(bars(&listener), 1);
        listener.on_event(&at(700_000, Event::StageFinished { stage: STAGE }));
        assert_eq!(bars(&listener), 0);
    }
}

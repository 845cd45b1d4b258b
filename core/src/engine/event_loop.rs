//! The event loop around the pure scheduler: the thread that receives messages, reads the clock and
//! executes commands.

use super::bus::Emitter;
use super::spawner::SpawnQueue;
use super::{CancelScope, Ended, Message};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::ids::JobId;
use crate::runner::{Report, Runner};
use crate::scheduler::{Command, Input, Limits, Scheduler};
use crate::scratch::Scratch;
use crate::threads::RETRY_INTERVAL;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The interval between two checks for stragglers.
const TICK: Duration = Duration::from_millis(20);

/// Returns the function with which tasks report to the scheduler. Reports after the end of the
/// context are dropped.
pub(super) fn reporter(messages: Sender<Message>) -> Report {
    Arc::new(move |input| drop(messages.send(Message::Input(input))))
}

/// The state of the scheduler thread.
pub(super) struct EventLoop {
    scheduler: Scheduler,
    runner: Runner,
    emitter: Emitter,
    replies: HashMap<JobId, Sender<Ended>>,
    timeouts: BTreeMap<Instant, Vec<(Duration, Weak<CancelScope>)>>,
    spawns: Arc<SpawnQueue>,
    /// The time of the next attempt to start threads for spawned closures.
    retry_spawns_at: Option<Instant>,
    has_speculation: bool,
    last_tick: Instant,
}

impl EventLoop {
    pub fn new(limits: Limits, runner: Runner, emitter: Emitter, spawns: Arc<SpawnQueue>) -> Self {
        EventLoop {
            has_speculation: limits.speculation.is_some(),
            scheduler: Scheduler::new(limits),
            runner,
            emitter,
            replies: HashMap::new(),
            timeouts: BTreeMap::new(),
            spawns,
            retry_spawns_at: None,
            last_tick: Instant::now(),
        }
    }

    /// Runs until the context is dropped. Then it waits at most for `shutdown_timeout` until the
    /// tasks have ended, and closes `scratch`.
    pub fn run(mut self, inbox: &Receiver<Message>, shutdown_timeout: Duration, scratch: &Scratch) {
        self.handle_messages(inbox);
        self.cancel_all(&Error::cancelled("the context was dropped"));
        self.runner.shut_down(shutdown_timeout);
        scratch.close();
        self.emitter.emit(Event::ContextStopped);
        self.emitter.stop();
    }

    fn handle_messages(&mut self, inbox: &Receiver<Message>) {
        loop {
            let message = match self.next_deadline() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_deadline(at),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(at) = self.next_deadline() {
                self.on_tick(at);
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Stop => {}
            Message::RetrySpawns => {
                self.retry_spawns_at.get_or_insert_with(|| Instant::now() + RETRY_INTERVAL);
            }
            Message::Input(input) => self.feed(input),
            Message::Submit { job, request, reply } => {
                self.replies.insert(job, reply);
                self.feed(Input::JobSubmitted { job, request });
            }
            Message::CancelAll { error } => self.cancel_all(&error),
            Message::Progress { job, reply } => drop(reply.send(self.scheduler.progress(job))),
            Message::Timeout { at, limit, scope } => {
                self.timeouts.entry(at).or_default().push((limit, scope));
            }
        }
    }

    /// Returns the next time at which work is due even without a message.
    fn next_deadline(&self) -> Option<Instant> {
        let tick = (self.has_speculation && self.runner.is_busy()).then(|| self.last_tick + TICK);
        let timeout = self.timeouts.keys().next().copied();
        let deadlines = [tick, timeout, self.runner.next_deadline(), self.retry_spawns_at];
        deadlines.into_iter().flatten().min()
    }

    fn on_tick(&mut self, deadline: Instant) {
        let now = Instant::now();
        if now < deadline {
            return;
        }
        if self.has_speculation && self.last_tick + TICK <= now {
            self.last_tick = now;
            let running = self.runner.running(now);
            self.feed(Input::Tick { running });
        }
        let later = self.timeouts.split_off(&now);
        for (limit, scope) in std::mem::replace(&mut self.timeouts, later).into_values().flatten() {
            if let Some(scope) = scope.upgrade() {
                scope.cancel(&Error::new(ErrorKind::TimedOut { limit }));
            }
        }
        self.retry_spawns(now);
        for (task, abandoned) in self.runner.on_deadline(now) {
            self.emitter.emit(Event::ThreadAbandoned {
                task,
                stage: abandoned.attempt_id.stage,
                partition: abandoned.attempt_id.partition,
                operation: abandoned.operation.to_string(),
            });
        }
    }

    /// Tries again to start threads for spawned closures, if that is due.
    fn retry_spawns(&mut self, now: Instant) {
        if self.retry_spawns_at.take_if(|at| *at <= now).is_some() {
            // If it fails again, the queue sends the next message.
            self.spawns.start_missing();
        }
    }

    fn cancel_all(&mut self, error: &Error) {
        let jobs: Vec<JobId> = self.scheduler.jobs().collect();
        for job in jobs {
            self.feed(Input::JobCancelled { job, error: error.clone() });
        }
    }

    fn feed(&mut self, input: Input) {
        if let Input::TaskEnded { task, .. } = &input {
            self.runner.forget(*task);
        }
        for command in self.scheduler.on(input) {
            match command {
                Command::Launch(task) => self.runner.launch(task),
                Command::CancelTask(task) => self.runner.cancel(task),
                Command::Emit(event) => self.emitter.emit(event),
                Command::FinishJob { job, result, progress } => {
                    if let Some(reply) = self.replies.remove(&job) {
                        let _ = reply.send((result, progress));
                    }
                }
            }
        }
    }
}

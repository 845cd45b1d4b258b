//! The scheduler's thread: the state machine and everything around it that is not pure, such as the
//! clock.

use super::bus::Emitter;
use super::{CancelScope, Ended, Message};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::ids::JobId;
use crate::runner::{Report, Runner};
use crate::scheduler::{Command, Input, Limits, Scheduler};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often stragglers are looked for.
const TICK: Duration = Duration::from_millis(20);

/// How tasks report: after the context has stopped nobody hears them.
pub(super) fn reporter(messages: Sender<Message>) -> Report {
    Arc::new(move |input| drop(messages.send(Message::Input(input))))
}

pub(super) struct EventLoop {
    scheduler: Scheduler,
    runner: Runner,
    emitter: Emitter,
    waiting: HashMap<JobId, Sender<Ended>>,
    timeouts: BTreeMap<Instant, Vec<(Duration, Weak<CancelScope>)>>,
    speculates: bool,
    ticked: Instant,
}

impl EventLoop {
    pub fn new(limits: Limits, runner: Runner, emitter: Emitter) -> Self {
        EventLoop {
            speculates: limits.speculation.is_some(),
            scheduler: Scheduler::new(limits),
            runner,
            emitter,
            waiting: HashMap::new(),
            timeouts: BTreeMap::new(),
            ticked: Instant::now(),
        }
    }

    pub fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let message = match self.next_deadline() {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_deadline(at),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(at) = self.next_deadline() {
                self.on_tick(at);
            }
        }
        self.cancel_all(&Error::cancelled("the context was dropped"));
        self.runner.cancel_all();
        self.emitter.emit(Event::ContextStopped);
        self.emitter.stop();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Stop => {}
            Message::Input(input) => self.feed(input),
            Message::Submit { job, request, tell } => {
                self.waiting.insert(job, tell);
                self.feed(Input::JobSubmitted { job, request });
            }
            Message::CancelAll { why } => self.cancel_all(&why),
            Message::Progress { job, tell } => drop(tell.send(self.scheduler.progress(job))),
            Message::Timeout { at, limit, scope } => {
                self.timeouts.entry(at).or_default().push((limit, scope));
            }
        }
    }

    /// When something must be done even if nothing happens.
    fn next_deadline(&self) -> Option<Instant> {
        let tick = (self.speculates && self.runner.is_busy()).then(|| self.ticked + TICK);
        let timeout = self.timeouts.keys().next().copied();
        [tick, timeout, self.runner.grace_ends()].into_iter().flatten().min()
    }

    fn on_tick(&mut self, deadline: Instant) {
        let now = Instant::now();
        if now < deadline {
            return;
        }
        if self.speculates && self.ticked + TICK <= now {
            self.ticked = now;
            let running = self.runner.running(now);
            self.feed(Input::Tick { running });
        }
        let later = self.timeouts.split_off(&now);
        for (limit, scope) in std::mem::replace(&mut self.timeouts, later).into_values().flatten() {
            if let Some(scope) = scope.upgrade() {
                scope.cancel(&Error::new(ErrorKind::TimedOut { limit }));
            }
        }
        for (task, left) in self.runner.abandon_stuck(now) {
            let (stage, partition) = (left.place.stage, left.place.partition);
            let operation = left.operation.to_string();
            self.emitter.emit(Event::ThreadAbandoned { task, stage, partition, operation });
        }
    }

    fn cancel_all(&mut self, why: &Error) {
        let jobs: Vec<JobId> = self.scheduler.jobs().collect();
        for job in jobs {
            self.feed(Input::JobCancelled { job, why: why.clone() });
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
                    if let Some(tell) = self.waiting.remove(&job) {
                        let _ = tell.send((result, progress));
                    }
                }
            }
        }
    }
}

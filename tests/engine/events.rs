//! The events that listeners receive, and their order.

use emberline::prelude::*;
use emberline::{
    ContextBuilder,
    event::{EVENT_VERSION, Event, EventRecord, StageInfo},
    id::StageId,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{DEADLINE, eventually, within};

/// A listener that stores the events it receives.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<EventRecord>>>);

impl Recorder {
    /// Returns a context with a recorder, and the recorder.
    pub fn on(builder: ContextBuilder) -> (Context, Recorder) {
        let recorder = Recorder::default();
        let keep = recorder.clone();
        let listener = move |record: &EventRecord| keep.0.lock().unwrap().push(record.clone());
        (builder.listener(listener).build().unwrap(), recorder)
    }

    /// Returns the records received since the last call.
    pub fn heard(&self, ctx: &Context) -> Vec<EventRecord> {
        ctx.flush_listeners();
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Returns the events received since the last call, without versions and times.
    pub fn events(&self, ctx: &Context) -> Vec<Event> {
        self.heard(ctx).into_iter().map(|record| record.event).collect()
    }

    /// Counts the tasks that started since the last call.
    pub fn tasks_started(&self, ctx: &Context) -> usize {
        self.events(ctx).iter().filter(|event| matches!(event, Event::TaskStarted { .. })).count()
    }
}

/// Returns the name of the kind of an event, as serde writes it.
pub fn kind(event: &Event) -> String {
    let json = serde_json::to_value(event).unwrap();
    match &json {
        serde_json::Value::String(name) => name.clone(),
        object => object.as_object().unwrap().keys().next().unwrap().clone(),
    }
}

/// Counts the events of a kind.
pub fn count_of(events: &[Event], wanted: &str) -> usize {
    events.iter().filter(|event| kind(event) == wanted).count()
}

/// Returns the index of the first event that `wanted` accepts.
fn index_of(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().position(wanted).unwrap_or_else(|| panic!("no such event in {events:#?}"))
}

/// Runs a job of five map tasks and three reduce tasks.
fn two_stages(ctx: &Context) -> Rdd<(u64, u64)> {
    ctx.range_with(5, 0..100_u64).map(|n| (n % 7, n)).with_partitions(3).reduce_by_key(|a, b| a + b)
}

fn stages_of_job(events: &[Event]) -> Vec<StageInfo> {
    let stages = events.iter().find_map(|event| match event {
        Event::JobStarted { stages, .. } => Some(stages.clone()),
        _ => None,
    });
    stages.expect("a job started")
}

fn of_stage(event: &Event, wanted: &str, stage: StageId) -> bool {
    let json = serde_json::to_value(event).unwrap();
    kind(event) == wanted && json[wanted]["stage"] == serde_json::json!(stage)
}

#[test]
fn a_job_of_two_stages_emits_its_events_in_order() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        two_stages(&ctx).count().unwrap();
        let events = recorder.events(&ctx);
        assert_eq!(kind(&events[0]), "ContextStarted");
        let stages = stages_of_job(&events);
        let map = &stages[0];
        let reduce = &stages[1];
        assert_eq!((stages.len(), map.partitions, reduce.partitions), (2, 5, 3));
        assert!(map.parents.is_empty() && reduce.parents == [map.stage], "{stages:?}");
        assert!(map.shuffle.is_some() && reduce.shuffle.is_none(), "{stages:?}");
        assert!(map.call_site.contains("events.rs"), "{stages:?}");
        let started = |stage| index_of(&events, |e| of_stage(e, "StageStarted", stage));
        let finished = |stage| index_of(&events, |e| of_stage(e, "StageFinished", stage));
        let job = index_of(&events, |e| kind(e) == "JobStarted");
        let end = index_of(&events, |e| kind(e) == "JobFinished");
        let order = [
            job,
            started(map.stage),
            finished(map.stage),
            started(reduce.stage),
            finished(reduce.stage),
            end,
        ];
        assert!(order.is_sorted(), "{order:?} of {events:#?}");
        assert_eq!(count_of(&events, "TaskStarted"), 8);
        assert_eq!(count_of(&events, "TaskFinished"), 8);
        assert!(matches!(&events[end], Event::JobFinished { error: None, .. }));
    });
}

#[test]
fn a_task_ends_after_it_began_and_counts_its_rows() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        two_stages(&ctx).count().unwrap();
        let events = recorder.events(&ctx);
        let mut read = 0;
        let mut written = 0;
        for (at, event) in events.iter().enumerate() {
            let Event::TaskFinished { task, metrics, .. } = event else { continue };
            let same = |e: &Event| matches!(e, Event::TaskStarted { task: t, .. } if t == task);
            assert!(index_of(&events, same) < at, "{events:#?}");
            read += metrics.rows_read;
            written += metrics.rows_written;
        }
        assert!(read >= 100 && written >= 7, "read {read}, written {written}");
    });
}

// Case F048 of tests/PROMISES.md.
#[test]
fn a_finished_shuffle_is_skipped_by_the_next_job() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let sums = two_stages(&ctx);
        sums.count().unwrap();
        let map = stages_of_job(&recorder.events(&ctx))[0].clone();
        sums.count().unwrap();
        let events = recorder.events(&ctx);
        let stages = stages_of_job(&events);
        assert_eq!((stages.len(), stages[0].shuffle), (2, map.shuffle), "{events:#?}");
        assert!(events.iter().any(|e| of_stage(e, "StageSkipped", stages[0].stage)), "{events:#?}");
        assert_eq!(count_of(&events, "TaskStarted"), 3, "{events:#?}");
        assert_eq!(count_of(&events, "StageStarted"), 1, "{events:#?}");
    });
}

#[test]
fn every_record_has_the_version_and_times_are_monotonic() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(4));
        let jobs = (0..4).map(|_| {
            let ctx = ctx.clone();
            std::thread::spawn(move || two_stages(&ctx).count().unwrap())
        });
        jobs.collect::<Vec<_>>().into_iter().for_each(|job| assert_eq!(job.join().unwrap(), 7));
        let heard = recorder.heard(&ctx);
        assert!(heard.iter().all(|record| record.version == EVENT_VERSION));
        let times: Vec<u64> = heard.iter().map(|record| record.at_us).collect();
        assert!(times.is_sorted(), "{times:?}");
    });
}

#[test]
fn every_record_survives_json() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2).app_name("story"));
        let cached = two_stages(&ctx).cache();
        cached.count().unwrap();
        cached.unpersist();
        cached.map(|_| -> u64 { panic!("boom") }).count().unwrap_err();
        let heard = recorder.heard(&ctx);
        for record in &heard {
            let text = serde_json::to_string(record).unwrap();
            assert_eq!(&serde_json::from_str::<EventRecord>(&text).unwrap(), record, "{text}");
        }
        let emitted: Vec<String> = heard.iter().map(|record| kind(&record.event)).collect();
        let wanted =
            ["ContextStarted", "StageSkipped", "TaskFailed", "BlockStored", "BlocksDropped"];
        assert!(wanted.iter().all(|name| emitted.iter().any(|kind| kind == name)), "{emitted:?}");
    });
}

// Case F104 of tests/PROMISES.md.
#[test]
fn a_panicking_listener_is_removed_and_the_others_continue() {
    within(DEADLINE, || {
        let heard_by_bad = Arc::new(Mutex::new(0));
        let count = Arc::clone(&heard_by_bad);
        let bad = move |_: &EventRecord| {
            *count.lock().unwrap() += 1;
            panic!("a bad listener");
        };
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2).listener(bad));
        assert_eq!(two_stages(&ctx).count().unwrap(), 7);
        let events = recorder.events(&ctx);
        assert_eq!(count_of(&events, "JobFinished"), 1);
        let heard = heard_by_bad.lock().map_or_else(|e| *e.into_inner(), |n| *n);
        assert_eq!(heard, 1);
    });
}

// Case F104 of tests/PROMISES.md.
#[test]
fn every_started_task_of_a_cancelled_or_failed_job_has_one_end() {
    within(DEADLINE, || {
        let count = |recorder: &Recorder, wanted: &str| {
            recorder.0.lock().unwrap().iter().filter(|it| kind(&it.event) == wanted).count()
        };
        for fails in [false, true] {
            let (ctx, recorder) = Recorder::on(Context::builder().threads(4));
            // More tasks than threads: some have not begun when the job is killed.
            let rows = ctx.range_with(9, 0..9_u64).flat_map(move |n| {
                assert!(!fails || n != 3, "boom");
                n * 1_000_000..u64::MAX
            });
            let handle = ctx.spawn(move || rows.count());
            if !fails {
                eventually("four tasks", || count(&recorder, "TaskStarted") == 4);
                handle.cancel("no");
            }
            handle.wait().unwrap_err();
            // The caller of the cancellation returns before the scheduler acts on it.
            eventually("the end of the job", || count(&recorder, "JobFinished") == 1);
            let events = recorder.events(&ctx);
            let of = |wanted: &[&str]| {
                let emitted = events.iter().filter(|event| wanted.contains(&kind(event).as_str()));
                let mut tasks: Vec<String> = emitted
                    .map(|event| {
                        serde_json::to_value(event).unwrap()[kind(event)]["task"].to_string()
                    })
                    .collect();
                tasks.sort();
                tasks
            };
            let ended = of(&["TaskFinished", "TaskFailed", "TaskCancelled"]);
            assert_eq!(of(&["TaskStarted"]), ended, "{events:#?}");
            assert!(!ended.is_empty() && count_of(&events, "JobFinished") == 1, "{events:#?}");
        }
    });
}

#[test]
fn a_failed_job_reports_which_task_failed_and_why() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(1));
        let error = ctx
            .range_with(4, 0..40_u64)
            .map(|n| if n == 25 { panic!("boom") } else { n })
            .count()
            .unwrap_err();
        let events = recorder.events(&ctx);
        let failed = index_of(&events, |e| kind(e) == "TaskFailed");
        let Event::TaskFailed { partition, attempt, error: reported, .. } = &events[failed] else {
            unreachable!()
        };
        assert!((*partition, *attempt) == (2, 0) && reported.contains("boom"), "{reported}");
        let end = index_of(&events, |e| kind(e) == "JobFinished");
        let Event::JobFinished { error: Some(reported), .. } = &events[end] else {
            panic!("the job did not fail: {events:#?}")
        };
        assert!(failed < end && *reported == error.to_string(), "{reported} is not {error}");
        assert_eq!(count_of(&events, "StageFinished"), 0);
    });
}

#[test]
fn storing_and_dropping_blocks_emits_events() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        let cached = ctx.range_with(3, 0..30_u64).cache();
        cached.count().unwrap();
        assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 3);
        cached.count().unwrap();
        assert_eq!(count_of(&recorder.events(&ctx), "BlockStored"), 0);
        cached.unpersist();
        assert_eq!(count_of(&recorder.events(&ctx), "BlocksDropped"), 1);
        let again = ctx.range_with(2, 0..4_u64).cache();
        again.count().unwrap();
        drop(again);
        assert_eq!(count_of(&recorder.events(&ctx), "BlocksDropped"), 1);
    });
}

#[test]
fn the_last_event_of_a_context_is_its_stop() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        two_stages(&ctx).count().unwrap();
        drop(ctx);
        let heard = recorder.0.lock().unwrap();
        assert_eq!(heard.last().unwrap().event, Event::ContextStopped);
        assert_eq!(heard.iter().filter(|r| r.event == Event::ContextStopped).count(), 1);
    });
}

#[test]
fn flush_listeners_waits_for_a_slow_listener() {
    within(DEADLINE, || {
        let ended = Arc::new(Mutex::new(false));
        let flag = Arc::clone(&ended);
        let slow = move |record: &EventRecord| {
            std::thread::sleep(Duration::from_millis(2));
            if let Event::JobFinished { .. } = record.event {
                *flag.lock().unwrap() = true;
            }
        };
        let ctx = Context::builder().threads(2).listener(slow).build().unwrap();
        ctx.range_with(20, 0..20_u64).count().unwrap();
        ctx.flush_listeners();
        assert!(*ended.lock().unwrap());
    });
}

#[test]
fn a_listener_may_hold_and_flush_its_own_context() {
    within(DEADLINE, || {
        let held: Arc<Mutex<Option<Context>>> = Arc::default();
        let own = Arc::clone(&held);
        let listener = move |_: &EventRecord| {
            if let Some(ctx) = own.lock().unwrap().as_ref() {
                ctx.flush_listeners();
            }
        };
        let ctx = Context::builder().threads(2).listener(listener).build().unwrap();
        *held.lock().unwrap() = Some(ctx.clone());
        assert_eq!(two_stages(&ctx).count().unwrap(), 7);
        ctx.flush_listeners();
        held.lock().unwrap().take();
    });
}

// Case F053 of tests/PROMISES.md.
#[test]
fn a_job_without_rows_starts_and_ends() {
    within(DEADLINE, || {
        let (ctx, recorder) = Recorder::on(Context::builder().threads(2));
        assert_eq!(ctx.parallelize(Vec::<u64>::new()).count().unwrap(), 0);
        let events = recorder.events(&ctx);
        assert_eq!(count_of(&events, "JobStarted"), 1);
        assert_eq!(count_of(&events, "JobFinished"), 1);
    });
}

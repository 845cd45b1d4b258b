//! Tests of listeners and of the end of a context.

use super::*;

/// Returns a listener and the events it received.
fn recorder() -> (Box<dyn Listener>, Arc<Mutex<Vec<EventRecord>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let records = Arc::clone(&received);
    (Box::new(move |record: &EventRecord| records.lock().unwrap().push(record.clone())), received)
}

fn names(received: &Mutex<Vec<EventRecord>>) -> Vec<String> {
    let received = received.lock().unwrap();
    let text = |record: &EventRecord| format!("{:?}", record.event);
    received.iter().map(|record| text(record).split(' ').next().unwrap_or("").to_string()).collect()
}

#[test]
fn events_are_delivered_in_order_and_a_flush_waits_for_them() {
    within(DEADLINE, || {
        let (listener, received) = recorder();
        let scratch = tempfile::tempdir().unwrap();
        let scratch_dirs = vec![scratch.path().to_path_buf()];
        let config = Config { threads: 1, scratch_dirs, ..Config::default() };
        let engine = Engine::start(config, vec![listener]).unwrap();
        let (node, _) = shuffled(&engine, 1);
        let two = JobRequest { partitions: vec![0], ..request(&node, |_| Ok(())) };
        engine.run_job(two).unwrap();
        engine.flush_listeners();
        let stage = ["StageStarted", "TaskStarted", "TaskFinished", "StageFinished"];
        let mut expected = vec!["ContextStarted", "JobStarted"];
        expected.extend(stage.iter().chain(&stage).chain(&["JobFinished"]));
        assert_eq!(names(&received), expected);
        drop(engine);
        expected.push("ContextStopped");
        assert_eq!(names(&received), expected);
        let received = received.lock().unwrap();
        assert!(received.is_sorted_by_key(|record| record.at_us));
        let written = received.iter().find_map(|record| match &record.event {
            Event::TaskFinished { metrics, .. } => Some(metrics.rows_written),
            _ => None,
        });
        assert_eq!(written, Some(3));
    });
}

#[test]
fn a_listener_that_panics_is_dropped_and_the_others_continue() {
    within(DEADLINE, || {
        let (listener, received) = recorder();
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let bad = move |_: &EventRecord| {
            counter.fetch_add(1, Ordering::Relaxed);
            panic!("bad listener")
        };
        let engine = Engine::start(Config::default(), vec![Box::new(bad), listener]).unwrap();
        assert_eq!(count(&engine, 3).unwrap(), 3);
        engine.flush_listeners();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(received.lock().unwrap().len() > 3);
    });
}

#[test]
fn a_listener_may_flush_and_run_an_action() {
    within(DEADLINE, || {
        let slot: Arc<Mutex<Option<Arc<Engine>>>> = Arc::default();
        let inside = Arc::clone(&slot);
        let counted = Arc::new(AtomicUsize::new(0));
        let total = Arc::clone(&counted);
        let listener = move |record: &EventRecord| {
            if matches!(record.event, Event::BlocksDropped { .. }) {
                let engine = inside.lock().unwrap().take().unwrap();
                engine.flush_listeners();
                total.store(count(&engine, 4).unwrap(), Ordering::Relaxed);
            }
        };
        let engine = Engine::start(Config::default(), vec![Box::new(listener)]).unwrap();
        *slot.lock().unwrap() = Some(Arc::clone(&engine));
        engine.emit(Event::BlocksDropped { rdd: RddId(0) });
        engine.flush_listeners();
        assert_eq!(counted.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn the_last_handle_may_drop_on_the_listeners_thread() {
    within(DEADLINE, || {
        let (give, take) = bounded::<Arc<Engine>>(1);
        let (dropped, wait) = bounded(1);
        let listener = move |_: &EventRecord| {
            if let Ok(engine) = take.recv() {
                drop(engine);
                let _ = dropped.send(());
            }
        };
        let engine = Engine::start(Config::default(), vec![Box::new(listener)]).unwrap();
        give.send(engine).unwrap();
        wait.recv().unwrap();
    });
}

#[test]
fn a_context_starts_and_stops_within_milliseconds() {
    within(DEADLINE, || {
        let began = Instant::now();
        for _ in 0..100 {
            drop(engine(2));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "100 took {:?}", began.elapsed());
    });
}

#[test]
fn a_context_may_drop_right_after_a_job_failed_and_others_still_run() {
    within(DEADLINE, || {
        for _ in 0..50 {
            let engine = engine(2);
            let job = request(&source(64), |task| match task.attempt_id.partition {
                0 => panic!("first"),
                _ => {
                    thread::sleep(Duration::from_millis(1));
                    Ok(())
                }
            });
            engine.run_job(job).unwrap_err();
        }
    });
}

#[test]
fn the_last_handle_may_drop_on_a_thread_of_the_pool() {
    within(DEADLINE, || {
        for _ in 0..50 {
            let (ended, wait) = std::sync::mpsc::channel();
            let engine = engine(2);
            let held = Mutex::new(Some(Arc::clone(&engine)));
            let job = request(&source(2), move |task| match task.attempt_id.partition {
                0 => panic!("first"),
                _ => {
                    thread::sleep(Duration::from_millis(2));
                    drop(held.lock().unwrap().take());
                    let _ = ended.send(());
                    Ok(())
                }
            });
            let _ = engine.run_job(job);
            drop(engine);
            // Nothing is sent if the task was cancelled before it started.
            let _ = wait.recv();
        }
    });
}

// Case E44 of tests/PROMISES.md.
#[test]
fn an_action_in_a_forked_process_is_refused_and_never_hangs() {
    within(DEADLINE, || {
        let (listener, _) = recorder();
        let mut engine = Engine::start(Config::default(), vec![listener]).unwrap();
        assert_eq!(count(&engine, 3).unwrap(), 3);
        let parent = std::process::id() + 1;
        Arc::get_mut(&mut engine).unwrap().owner_pid = parent;
        let error = count(&engine, 3).unwrap_err();
        let is_typed =
            matches!(error.kind(), ErrorKind::Forked { built_pid, .. } if *built_pid == parent);
        assert!(is_typed && error.to_string().contains("after the fork"), "{error}");
        engine.flush_listeners();
        drop(engine);
    });
}

// Case E11 of tests/PROMISES.md.
#[cfg(target_os = "linux")]
#[test]
fn a_scratch_dir_that_is_not_writable_is_refused_when_the_context_is_built() {
    within(DEADLINE, || {
        let good = tempfile::tempdir().unwrap();
        // No user, not even root, can create a directory there.
        let scratch_dirs = vec!["/proc".into(), good.path().into(), "/proc/self".into()];
        let config = Config { scratch_dirs, ..Config::default() };
        let error = Engine::start(config, vec![]).err().unwrap();
        let ErrorKind::InvalidConfig { problems } = error.kind() else { panic!("{error}") };
        assert_eq!(problems.len(), 2, "{error}");
        assert!(problems[0].contains("scratch_dirs entry `/proc` is not writable"), "{error}");
        assert!(problems[1].contains("`/proc/self`") && problems[1].contains("choose"), "{error}");
        let scratch_dirs = vec![good.path().into()];
        drop(Engine::start(Config { scratch_dirs, ..Config::default() }, vec![]).unwrap());
        assert_eq!(std::fs::read_dir(good.path()).unwrap().count(), 0, "the probe leaves nothing");
    });
}

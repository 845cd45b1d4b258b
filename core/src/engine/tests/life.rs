//! The listeners, and the end of a context.

use super::*;

/// A listener and what it heard.
fn notebook() -> (Box<dyn Listener>, Arc<Mutex<Vec<EventRecord>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let pages = Arc::clone(&heard);
    (Box::new(move |record: &EventRecord| pages.lock().unwrap().push(record.clone())), heard)
}

fn names(heard: &Mutex<Vec<EventRecord>>) -> Vec<String> {
    let heard = heard.lock().unwrap();
    let text = |record: &EventRecord| format!("{:?}", record.event);
    heard.iter().map(|record| text(record).split(' ').next().unwrap_or("").to_string()).collect()
}

#[test]
fn events_come_in_order_and_a_flush_waits_for_them() {
    within(DEADLINE, || {
        let (listener, heard) = notebook();
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
        assert_eq!(names(&heard), expected);
        drop(engine);
        expected.push("ContextStopped");
        assert_eq!(names(&heard), expected);
        let heard = heard.lock().unwrap();
        assert!(heard.is_sorted_by_key(|record| record.at_us));
        let written = heard.iter().find_map(|record| match &record.event {
            Event::TaskFinished { metrics, .. } => Some(metrics.rows_written),
            _ => None,
        });
        assert_eq!(written, Some(3));
    });
}

#[test]
fn a_listener_that_panics_is_dropped_and_the_others_go_on() {
    within(DEADLINE, || {
        let (listener, heard) = notebook();
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
        assert!(heard.lock().unwrap().len() > 3);
    });
}

#[test]
fn a_listener_may_flush_and_run_an_action() {
    within(DEADLINE, || {
        let slot: Arc<Mutex<Option<Arc<Engine>>>> = Arc::default();
        let (inside, counted) = (Arc::clone(&slot), Arc::new(AtomicUsize::new(0)));
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
fn a_context_starts_and_stops_in_a_moment() {
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
            let job = request(&source(64), |task| match task.place.partition {
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
            let job = request(&source(2), move |task| match task.place.partition {
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
            // Nothing is sent if the task was cancelled before it began.
            let _ = wait.recv();
        }
    });
}

#[test]
fn e44_an_action_in_a_fork_of_the_process_is_refused_and_nobody_waits_for_threads_that_are_not_there()
 {
    within(DEADLINE, || {
        let (listener, _) = notebook();
        let mut engine = Engine::start(Config::default(), vec![listener]).unwrap();
        assert_eq!(count(&engine, 3).unwrap(), 3);
        let parent = std::process::id() + 1;
        Arc::get_mut(&mut engine).unwrap().built_in = parent;
        let error = count(&engine, 3).unwrap_err();
        let is_typed =
            matches!(error.kind(), ErrorKind::Forked { built_in, .. } if *built_in == parent);
        assert!(is_typed && error.to_string().contains("after the fork"), "{error}");
        engine.flush_listeners();
        drop(engine);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn e11_a_scratch_folder_that_takes_no_folder_is_refused_when_the_context_is_built() {
    within(DEADLINE, || {
        let good = tempfile::tempdir().unwrap();
        // Nobody may make a folder there, the superuser included.
        let scratch_dirs = vec!["/proc".into(), good.path().into(), "/proc/self".into()];
        let config = Config { scratch_dirs, ..Config::default() };
        let error = Engine::start(config, vec![]).err().unwrap();
        let ErrorKind::InvalidConfig { problems } = error.kind() else { panic!("{error}") };
        assert_eq!(problems.len(), 2, "{error}");
        assert!(problems[0].contains("`/proc` of scratch_dirs takes no folder"), "{error}");
        assert!(problems[1].contains("`/proc/self`") && problems[1].contains("choose"), "{error}");
        let scratch_dirs = vec![good.path().into()];
        drop(Engine::start(Config { scratch_dirs, ..Config::default() }, vec![]).unwrap());
        assert_eq!(std::fs::read_dir(good.path()).unwrap().count(), 0, "the trial leaves nothing");
    });
}

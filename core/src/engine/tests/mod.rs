//! Tests of the engine with real threads. Every test has a deadline.

mod life;

use super::*;
use crate::event::EventRecord;
use crate::lineage::{Dependency, LineageNode, Prerequisite, ShuffleDependency};
use crate::quiet::Quiet;
use crate::task::TaskContext;
use crate::unwind::{blame, raise};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use testkit::{DEADLINE, within};

fn engine(threads: usize) -> Arc<Engine> {
    Engine::start(Config { threads, ..Config::default() }, vec![]).unwrap()
}

fn source(partitions: usize) -> Arc<LineageNode> {
    Arc::new(LineageNode::new(RddId(0), Operation::new("source"), partitions, vec![]))
}

fn request(
    lineage: &Arc<LineageNode>,
    task: impl Fn(&TaskContext) -> Result<()> + Send + Sync + 'static,
) -> JobRequest {
    let partitions = (0..lineage.partitions()).collect();
    JobRequest {
        action: Operation::new("collect"),
        lineage: Arc::clone(lineage),
        partitions,
        task: Quiet::new(Arc::new(task)),
    }
}

/// Runs a task in one partition and returns the error of the job.
fn error_of(
    engine: &Engine,
    task: impl Fn(&TaskContext) -> Result<()> + Send + Sync + 'static,
) -> Error {
    engine.run_job(request(&source(1), task)).unwrap_err()
}

fn count(engine: &Engine, partitions: usize) -> Result<usize> {
    let counted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&counted);
    engine.run_job(request(&source(partitions), move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(counted.load(Ordering::Relaxed))
}

/// A shuffle that records which map partitions ran.
struct Pairs {
    id: ShuffleId,
    operation: Operation,
    parent: Arc<LineageNode>,
    ran: Arc<Mutex<Vec<usize>>>,
}

impl ShuffleDependency for Pairs {
    fn id(&self) -> ShuffleId {
        self.id
    }
    fn operation(&self) -> Operation {
        self.operation
    }
    fn parent(&self) -> &Arc<LineageNode> {
        &self.parent
    }
    fn partitions(&self) -> usize {
        1
    }
    fn run_map(&self, partition: usize, task: &TaskContext) -> Result<()> {
        task.count_written(3, 24);
        self.ran.lock().unwrap().push(partition);
        Ok(())
    }
}

type Ran = Arc<Mutex<Vec<usize>>>;

fn shuffled(engine: &Engine, partitions: usize) -> (Arc<LineageNode>, Ran) {
    let ran = Ran::default();
    let operation = Operation::new("reduce_by_key");
    let pairs = Pairs {
        id: engine.next_shuffle_id(),
        operation,
        parent: source(partitions),
        ran: ran.clone(),
    };
    let dependencies = vec![Dependency::Shuffle(Arc::new(pairs))];
    let rdd = engine.next_rdd_id();
    (Arc::new(LineageNode::new(rdd, operation, 2, dependencies)), ran)
}

#[test]
fn every_partition_runs_once() {
    within(DEADLINE, || assert_eq!(count(&engine(3), 1000).unwrap(), 1000));
}

#[test]
fn only_a_lost_output_is_recomputed() {
    within(DEADLINE, || {
        let engine = engine(2);
        let (node, ran) = shuffled(&engine, 3);
        let lost_once = AtomicUsize::new(0);
        engine
            .run_job(request(&node, move |task| match task.attempt_id.partition {
                1 if lost_once.fetch_add(1, Ordering::Relaxed) == 0 => {
                    let shuffle = ShuffleId(0);
                    raise(Error::new(ErrorKind::FetchFailed {
                        shuffle,
                        map_partition: 2,
                        others: vec![],
                    }))
                }
                _ => Ok(()),
            }))
            .unwrap();
        let mut ran = ran.lock().unwrap().clone();
        ran.sort_unstable();
        assert_eq!(ran, [0, 1, 2, 2]);
    });
}

#[test]
fn a_panic_is_an_error_with_its_message_and_the_pool_stays_usable() {
    within(DEADLINE, || {
        let engine = engine(1);
        let operation = Operation::new("map");
        let error = error_of(&engine, move |_| blame(&operation, || panic!("row {}", 7)));
        assert!(matches!(error.kind(), ErrorKind::Panicked { message } if message == "row 7"));
        assert_eq!(error.operation(), Some(operation));
        assert_eq!(error.action().map(|action| action.name), Some("collect"));
        let error = error_of(&engine, |_| panic!("plain"));
        assert!(error.to_string().contains("plain"), "{error}");
        assert_eq!(error.operation().map(|operation| operation.name), Some("collect"));
        let error = error_of(&engine, |_| std::panic::panic_any(7));
        assert!(error.to_string().contains("not text"), "{error}");
        assert_eq!(count(&engine, 5).unwrap(), 5);
    });
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("in drop");
        }
    }
}

#[test]
fn a_panic_in_the_destructor_of_a_payload_or_a_closure_leaves_the_pool_usable() {
    within(DEADLINE, || {
        let engine = engine(1);
        let error = error_of(&engine, |_| std::panic::panic_any(PanicsInDrop));
        assert!(error.to_string().contains("not text"), "{error}");
        let held = PanicsInDrop;
        let job = request(&source(1), move |_| {
            let _ = &held;
            Ok(())
        });
        // The caller holds the last handle. The job has its result when the destructor runs.
        assert!(engine.run_job(job).is_ok());
        assert_eq!(count(&engine, 5).unwrap(), 5);
    });
}

#[test]
fn a_raised_error_is_returned_even_if_user_code_caught_it() {
    within(DEADLINE, || {
        let engine = engine(1);
        let raised = || raise(Error::new(ErrorKind::ClosureFailed).caused_by("no number"));
        let error = error_of(&engine, move |_| raised());
        assert!(matches!(error.kind(), ErrorKind::ClosureFailed));
        assert!(error.to_string().contains("no number"), "{error}");
        let error = error_of(&engine, move |_| {
            let _ = catch_unwind(AssertUnwindSafe(raised));
            Ok(())
        });
        assert!(error.to_string().contains("no number"), "{error}");
        assert_eq!(count(&engine, 5).unwrap(), 5);
    });
}

#[test]
fn an_action_inside_a_task_is_refused() {
    within(DEADLINE, || {
        let engine = engine(1);
        let inner = Arc::clone(&engine);
        let error = error_of(&engine, move |_| count(&inner, 1).map(drop));
        assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
        assert_eq!(count(&engine, 5).unwrap(), 5);
    });
}

#[test]
fn an_action_inside_a_closures_rayon_work_is_refused() {
    within(DEADLINE, || {
        let engine = engine(2);
        let inner = Arc::clone(&engine);
        let error = error_of(&engine, move |_| {
            let work = || count(&inner, 1).map(drop);
            let (left, right) = rayon::join(work, work);
            left.and(right)
        });
        assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
    });
}

#[test]
fn an_action_works_from_a_foreign_rayon_pool_and_from_many_threads() {
    within(DEADLINE, || {
        let engine = engine(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let both = pool.install(|| rayon::join(|| count(&engine, 9), || count(&engine, 9)));
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (9, 9));
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(count(&engine, 20).unwrap(), 20));
            }
        });
    });
}

#[test]
fn two_engines_are_independent() {
    within(DEADLINE, || {
        let left = engine(1);
        let right = engine(2);
        thread::scope(|scope| {
            scope.spawn(|| (0..20).for_each(|_| drop(error_of(&left, |_| panic!("left")))));
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(count(&right, 7).unwrap(), 7)));
        });
        assert_eq!(right.next_rdd_id(), RddId(0));
        drop(left);
        assert_eq!(count(&right, 7).unwrap(), 7);
    });
}

#[test]
fn a_problem_of_an_ancestor_is_the_error_of_the_action() {
    within(DEADLINE, || {
        let engine = engine(1);
        let mut bad = LineageNode::new(RddId(0), Operation::new("text_file"), 1, vec![]);
        bad.set_problem(Some(
            Error::invalid_argument("no such file").in_operation(bad.operation()),
        ));
        let parents = vec![Dependency::Narrow(Arc::new(bad))];
        let node = Arc::new(LineageNode::new(RddId(1), Operation::new("map"), 1, parents));
        let error = engine.run_job(request(&node, |_| Ok(()))).unwrap_err();
        assert_eq!(error.operation().map(|operation| operation.name), Some("text_file"));
        assert_eq!(error.action().map(|operation| operation.name), Some("collect"));
    });
}

struct Sampling(Arc<Engine>, AtomicUsize);

impl Prerequisite for Sampling {
    fn prepare(&self) -> Result<()> {
        self.1.fetch_add(count(&self.0, 4)?, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_prerequisite_runs_its_own_job_before_the_action() {
    within(DEADLINE, || {
        let engine = engine(1);
        let sampling = Arc::new(Sampling(Arc::clone(&engine), AtomicUsize::new(0)));
        let mut node = LineageNode::new(RddId(0), Operation::new("sort_by"), 1, vec![]);
        node.prerequisite = Some(sampling.clone());
        let seen = sampling.clone();
        let check = move |_: &TaskContext| {
            assert_eq!(seen.1.load(Ordering::Relaxed), 4);
            Ok(())
        };
        engine.run_job(request(&Arc::new(node), check)).unwrap();
    });
}

#[test]
fn nothing_of_a_job_is_held_when_its_action_returns() {
    within(DEADLINE, || {
        let engine = engine(2);
        for _ in 0..200 {
            let node = source(4);
            let held = Arc::new(());
            let inside = Arc::clone(&held);
            engine
                .run_job(request(&node, move |_| {
                    let _ = &inside;
                    Ok(())
                }))
                .unwrap();
            assert_eq!(Arc::strong_count(&node), 1);
            assert_eq!(Arc::strong_count(&held), 1);
        }
    });
}

#[test]
fn queued_tasks_are_dropped_when_the_job_fails() {
    within(DEADLINE, || {
        let engine = engine(1);
        let began = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&began);
        let error = engine.run_job(request(&source(10_000), move |task| {
            counter.fetch_add(1, Ordering::Relaxed);
            assert_ne!(task.attempt_id.partition, 3, "the fourth");
            thread::sleep(Duration::from_millis(2));
            Ok(())
        }));
        assert!(error.unwrap_err().to_string().contains("the fourth"));
        assert_eq!(count(&engine, 1).unwrap(), 1);
        assert!(began.load(Ordering::Relaxed) < 5_000);
    });
}

#[test]
fn an_invalid_configuration_is_refused() {
    within(DEADLINE, || {
        let config = Config { threads: 0, ..Config::default() };
        assert!(Engine::start(config, vec![]).is_err());
    });
}

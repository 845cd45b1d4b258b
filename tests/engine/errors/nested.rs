//! An action inside a closure is an error at once, on any number of threads.

use emberline::prelude::*;
use std::sync::{Arc, Mutex};
use testkit::{DEADLINE, within};

/// The results of actions inside closures.
type Answers = Arc<Mutex<Vec<Result<u64>>>>;

fn on_threads(
    threads: usize,
    run: impl FnOnce(&Context, &Answers) -> Result<u64> + Send + 'static,
) {
    within(DEADLINE, move || {
        let ctx = Context::builder().threads(threads).build().unwrap();
        let answers = Answers::default();
        let ended = run(&ctx, &answers);
        // The outer action fails with the refusal even if the closure ignored it.
        let error = ended.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
        let answers = answers.lock().unwrap();
        assert!(!answers.is_empty());
        for answer in answers.iter() {
            let error = answer.as_ref().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains("count at tests/engine/errors/nested.rs"), "{text}");
        }
        assert_eq!(ctx.range(0..10_u64).count().unwrap(), 10);
    });
}

/// Calls an action on `inner` inside a closure, and stores its result.
fn ask(inner: &Rdd<u64>, answers: &Answers) {
    let answer = inner.count();
    answers.lock().unwrap().push(answer);
}

fn inner_and_outer(ctx: &Context) -> (Rdd<u64>, Rdd<u64>) {
    (ctx.range(0..5_u64).boxed(), ctx.range_with(4, 0..8_u64).boxed())
}

// Case F021 of tests/PROMISES.md.
#[test]
fn an_action_in_a_map_is_refused_on_one_thread_and_on_four() {
    for threads in [1, 4] {
        on_threads(threads, |ctx, answers| {
            let ((inner, outer), answers) = (inner_and_outer(ctx), Arc::clone(answers));
            outer.map(move |n| (ask(&inner, &answers), n)).count()
        });
    }
}

#[test]
fn an_action_in_a_filter_is_refused_on_one_thread_and_on_four() {
    for threads in [1, 4] {
        on_threads(threads, |ctx, answers| {
            let ((inner, outer), answers) = (inner_and_outer(ctx), Arc::clone(answers));
            let asks = move |_: &u64| {
                ask(&inner, &answers);
                true
            };
            outer.filter(asks).count()
        });
    }
}

#[test]
fn an_action_in_the_closure_of_an_action_is_refused_on_one_thread_and_on_four() {
    for threads in [1, 4] {
        on_threads(threads, |ctx, answers| {
            let ((inner, outer), answers) = (inner_and_outer(ctx), Arc::clone(answers));
            outer.for_each(move |_| ask(&inner, &answers))?;
            Ok(8)
        });
    }
}

#[test]
fn an_action_in_a_map_side_merge_is_refused_on_one_thread_and_on_four() {
    for threads in [1, 4] {
        on_threads(threads, |ctx, answers| {
            let ((inner, outer), answers) = (inner_and_outer(ctx), Arc::clone(answers));
            let merge = move |a, b| {
                ask(&inner, &answers);
                a + b
            };
            let ones = outer.map(|_| (0_u8, 1_u64)).reduce_by_key(merge);
            Ok(ones.collect()?[0].1)
        });
    }
}

#[test]
fn an_action_inside_rayon_join_in_a_closure_is_refused_on_one_thread_and_on_four() {
    for threads in [1, 4] {
        on_threads(threads, |ctx, answers| {
            let ((inner, outer), answers) = (inner_and_outer(ctx), Arc::clone(answers));
            let both = move |n: u64| {
                rayon::join(|| ask(&inner, &answers), || ask(&inner, &answers));
                n
            };
            outer.map(both).count()
        });
    }
}

#[test]
fn an_action_of_another_context_in_a_closure_is_refused() {
    within(DEADLINE, || {
        let one = Context::local().unwrap();
        let two = Context::local().unwrap();
        let inner = two.range(0..5_u64).boxed();
        let error = one.range(0..8_u64).try_map(move |_| Ok(inner.count()?)).count().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NestedAction { .. }), "{error}");
    });
}

#[test]
fn both_call_sites_are_named() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let (inner, outer) = inner_and_outer(&ctx);
        let line = line!() + 1;
        let error = outer.try_map(move |_| Ok(inner.count()?)).for_each(drop).unwrap_err();
        let site = format!("{}:{line}", file!());
        let text = error.to_string();
        assert!(text.contains(&format!("count at {site}")), "{text}");
        assert!(text.contains(&format!("for_each at {site}")), "{text}");
    });
}

#[test]
fn a_listener_that_calls_an_action_does_not_hang() {
    within(DEADLINE, || {
        let other = Context::builder().threads(1).build().unwrap();
        let counts = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&counts);
        let listener = move |record: &emberline::event::EventRecord| {
            if let emberline::event::Event::JobFinished { .. } = record.event {
                results.lock().unwrap().push(other.range(0..9_u64).count());
            }
        };
        let ctx = Context::builder().threads(1).listener(listener).build().unwrap();
        assert_eq!(ctx.range(0..3_u64).count().unwrap(), 3);
        ctx.flush_listeners();
        assert!(matches!(counts.lock().unwrap()[..], [Ok(9)]));
    });
}

#[test]
fn transformations_inside_a_closure_are_fine_since_they_run_nothing() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(1).build().unwrap();
        let own = ctx.clone();
        let sizes = ctx
            .range_with(2, 0..4_u64)
            .map(move |n| own.range(0..n).map(|m| m + 1).num_partitions());
        assert_eq!(sizes.count().unwrap(), 4);
    });
}

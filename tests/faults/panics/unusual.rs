//! Values of users other than rows: errors, payloads of panics, partitioners, iterators.

use emberline::event::EventRecord;
use emberline::partition::Partitioner;
use emberline::prelude::*;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{panic_any, resume_unwind};
use std::sync::Arc;
use std::thread;
use testkit::{DEADLINE, within};

fn fail() {
    if !thread::panicking() {
        resume_unwind(Box::new("an unusual value panics"));
    }
}

/// An error of which one method panics.
#[derive(Clone, Copy, PartialEq)]
enum Hostile {
    Display,
    Debug,
    Drop,
    Source,
}

struct HostileError(Hostile);

impl fmt::Display for HostileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Hostile::Display {
            fail();
        }
        f.write_str("hostile")
    }
}

impl fmt::Debug for HostileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Hostile::Debug {
            fail();
        }
        f.write_str("hostile")
    }
}

impl StdError for HostileError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if self.0 == Hostile::Source {
            fail();
        }
        None
    }
}

impl Drop for HostileError {
    fn drop(&mut self) {
        if self.0 == Hostile::Drop {
            fail();
        }
    }
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn an_error_of_a_closure_whose_own_methods_panic_fails_only_its_action() {
    within(DEADLINE, || {
        for hostile in [Hostile::Display, Hostile::Debug, Hostile::Drop, Hostile::Source] {
            for attempts in [1, 3] {
                let builder = Context::builder().threads(2).max_attempts(attempts);
                let ctx = builder.listener(|_: &EventRecord| ()).build().unwrap();
                let failing = ctx.range_with(3, 0..9_u64).try_map(move |n| match n {
                    7 => Err(HostileError(hostile).into()),
                    _ => Ok((n % 2, n)),
                });
                let error = failing.reduce_by_key(|a, b| a + b).count().unwrap_err();
                let text = if hostile == Hostile::Display { "panicked" } else { "hostile" };
                assert!(error.to_string().contains(text), "{error}");
                drop(error);
                ctx.flush_listeners();
                assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9);
                drop(failing);
                assert_eq!(ctx.memory_used_bytes(), 0);
            }
        }
    });
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn a_payload_of_a_panic_whose_destructor_panics_is_an_error_also_on_the_driver() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            fail();
        }
    }
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for _ in 0..20 {
            let rows = ctx.range_with(2, 0..9_u64);
            rows.map(|_| panic_any(Payload)).for_each(|()| ()).unwrap_err();
            rows.aggregate(0, |a, b| a + b, |_, _| panic_any(Payload)).unwrap_err();
            ctx.spawn(|| -> Result<u64> { panic_any(Payload) }).wait().unwrap_err();
        }
        assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9);
    });
}

/// A partitioner that panics for one key.
struct Panicking;

impl Partitioner<u64> for Panicking {
    fn partitions(&self) -> usize {
        4
    }

    fn partition_of(&self, key: &u64) -> usize {
        if *key == 7 {
            fail();
        }
        *key as usize % 4
    }
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn a_partitioner_that_panics_fails_the_task_or_the_lookup() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let pairs = ctx.range_with(2, 0..7_u64).map(|n| (n, n)).partition_by(Arc::new(Panicking));
        assert_eq!(pairs.lookup(&3).unwrap(), [3]);
        pairs.lookup(&7).unwrap_err();
        let more = ctx.range_with(2, 0..9_u64).map(|n| (n, n));
        more.partition_by(Arc::new(Panicking)).count().unwrap_err();
        assert_eq!(pairs.count().unwrap(), 7);
    });
}

// Case R-C1 of tests/PROMISES.md.
#[test]
fn an_action_inside_a_merge_that_panics_fails_the_outer_action_alone() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        let inner = ctx.clone();
        let rows = ctx.range_with(3, 0..9_u64);
        let outer = rows.reduce(move |a, b| {
            if !emberline_core::task::is_task_thread() {
                inner.range_with(2, 0..9_u64).reduce(|_, _| panic!("inner")).unwrap_err();
                fail();
            }
            a + b
        });
        outer.unwrap_err();
        assert_eq!(rows.reduce(|a, b| a + b).unwrap(), Some(36));
    });
}

/// Numbers whose iterator panics when it is dropped.
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 += 1;
        (self.0 < 9).then_some(self.0)
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        fail();
    }
}

// Case R-C2 of tests/PROMISES.md.
#[test]
fn an_iterator_whose_destructor_panics_fails_each_action_that_opens_it() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for boxed in [false, true] {
            for level in [None, Some(StorageLevel::Memory), Some(StorageLevel::Disk)] {
                let rows = ctx.generate(2, |_| Numbers(0));
                let rows = if boxed { rows.map(|n| n).boxed() } else { rows.boxed() };
                let rows = level.map_or(rows.clone(), |level| rows.persist(level));
                rows.count().unwrap_err();
                rows.take(2).unwrap_err();
                rows.first().unwrap_err();
                rows.map(|n| (n, n)).group_by_key().count().unwrap_err();
                assert!(rows.to_local_iterator().next().unwrap().is_err());
                drop(rows);
                assert_eq!(ctx.memory_used_bytes(), 0);
            }
        }
    });
}

/// A row that panics when it is dropped.
#[derive(Clone)]
struct Fails;

impl Drop for Fails {
    fn drop(&mut self) {
        fail();
    }
}

thread_local! {
    static LAST: std::cell::RefCell<Option<Rdd<Fails>>> = const { std::cell::RefCell::new(None) };
}

// Case R-C2 of tests/PROMISES.md.
#[test]
fn the_last_handle_may_drop_in_a_task_or_at_the_end_of_a_thread() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        for _ in 0..20 {
            let rows = ctx.parallelize(vec![Fails]).boxed();
            let held = std::sync::Mutex::new(Some(rows));
            let dropped =
                ctx.range_with(1, 0..1_u64).map(move |_| drop(held.lock().unwrap().take()));
            assert_eq!(dropped.count().unwrap(), 1);
            let rows = ctx.parallelize(vec![Fails]).boxed();
            thread::spawn(move || LAST.set(Some(rows))).join().unwrap();
        }
        assert_eq!(ctx.range(0..9_u64).count().unwrap(), 9);
    });
}

// Case R-C3 of tests/PROMISES.md.
#[test]
fn empty_ranges_and_few_rows_work_in_very_many_partitions() {
    within(DEADLINE, || {
        let ctx = Context::builder().threads(2).build().unwrap();
        assert_eq!(ctx.range_with(1 << 12, 5..5_u8).count().unwrap(), 0);
        assert_eq!(ctx.range_with(1 << 12, 250..255_u8).collect().unwrap().len(), 5);
        let pairs = ctx.range_with(2, 0..9_u64).map(|n| (n, n));
        let sums = pairs.with_partitions(1 << 14).reduce_by_key(|a, b| a + b);
        assert_eq!(sums.coalesce(3).count().unwrap(), 9);
        let by = ctx.range_with(2, 0..9_u64).with_partitions(1 << 14).sort_by_key(|n| *n);
        assert_eq!(by.coalesce(1).collect().unwrap(), (0..9).collect::<Vec<u64>>());
        let text = ctx.text_file_with(Text::new().partitions(1 << 12), "Cargo.toml");
        assert!(text.coalesce(4).count().unwrap() > 10);
        let name = "x".repeat(1 << 20);
        assert_eq!(ctx.job_group(&name, || ctx.range(0..9_u64).count()).unwrap(), 9);
    });
}

//! Inputs that were written after the other modules of checkpoints, without a look at them.

use emberline::prelude::*;
use emberline_core::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, LinkedList};
use std::sync::{Arc, Mutex, RwLock};
use testkit::{DEADLINE, on_stack, within};

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Expr {
    Add(Box<Expr>, Box<Expr>),
    Call { name: String, arguments: Vec<Stmt> },
    Value(i64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stmt {
    Let(String, Expr),
    Block(BTreeMap<u16, Stmt>),
    Stop,
}

/// A date that accepts only its own format.
#[derive(Clone, Debug, PartialEq)]
struct Date(u16, u8);

impl Serialize for Date {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:04}-{:02}", self.0, self.1))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Panics on the empty string and on every other sample.
        Ok(Date(text[0..4].parse().unwrap(), text[5..7].parse().unwrap()))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meeting {
    at: Option<Date>,
    room: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meeting16 {
    at: Option<Date>,
    room: u16,
}

// Case R-A10 of tests/PROMISES.md.
#[test]
fn types_that_contain_each_other_hold_locks_or_panic_on_samples_come_back() {
    within(DEADLINE, || {
        let ctx = context();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let call = Expr::Call {
            name: "f".into(),
            arguments: vec![Stmt::Let("x".into(), Expr::Value(1)), Stmt::Stop],
        };
        let sum = Expr::Add(Box::new(call), Box::new(Expr::Value(2)));
        let block = Stmt::Block([(1, Stmt::Stop), (2, Stmt::Let("y".into(), sum.clone()))].into());
        ctx.parallelize_with(3, vec![sum.clone()]).checkpoint(path("sums")).map(drop).unwrap();
        assert_eq!(ctx.read_checkpoint::<Expr>(path("sums")).collect().unwrap(), [sum]);
        ctx.parallelize_with(3, vec![block.clone()]).checkpoint(path("blocks")).map(drop).unwrap();
        assert_eq!(ctx.read_checkpoint::<Stmt>(path("blocks")).collect().unwrap(), [block]);
        assert!(ctx.read_checkpoint::<Expr>(path("blocks")).count().is_err());
        assert!(Shape::of::<(Expr, Stmt)>().difference(&Shape::of::<(Expr, Expr)>()).is_some());

        let locks =
            |n: u64| (Arc::new(Mutex::new(n)), Arc::new(RwLock::new(LinkedList::from([n]))));
        ctx.range_with(2, 0..2_u64).map(locks).checkpoint(path("locks")).map(drop).unwrap();
        let read = ctx.read_checkpoint::<(u64, Vec<u64>)>(path("locks"));
        assert_eq!(read.collect().unwrap(), [(0, vec![0]), (1, vec![1])]);

        let meetings =
            vec![Meeting { at: Some(Date(2026, 12)), room: 7 }, Meeting { at: None, room: 8 }];
        ctx.parallelize_with(2, meetings.clone()).checkpoint(path("meetings")).map(drop).unwrap();
        assert_eq!(ctx.read_checkpoint::<Meeting>(path("meetings")).collect().unwrap(), meetings);
        let text =
            ctx.read_checkpoint::<Meeting16>(path("meetings")).collect().unwrap_err().to_string();
        assert!(text.contains("at `.room`: `u32`, `u16`"), "{text}");
    });
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn deep_keys_nested_options_and_values_of_broadcast_joins_are_errors_and_never_overflow() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
    enum Key {
        Leaf(u64),
        Deep(Box<Key>),
    }
    let key = |nodes: usize| (0..nodes).fold(Key::Leaf(1), |inner, _| Key::Deep(Box::new(inner)));
    on_stack(8 << 20, move || {
        for spills in [false, true] {
            let ctx = Context::builder().threads(2).force_spill(spills).build().unwrap();
            // Derived methods of a key recurse on the stack of their thread, so it is not much deeper than the limit.
            for (nodes, is_error) in [(1_500, false), (3_000, true)] {
                let rows = ctx.range_with(2, 0..2_u64).map(move |n| (key(nodes), n)).boxed();
                let outcomes = [
                    rows.reduce_by_key(|a, b| a + b).count(),
                    rows.keys().distinct().count(),
                    rows.map(|(key, n)| (n, key))
                        .broadcast_join(&rows.map(|(key, n)| (n, key)))
                        .count(),
                    rows.sort_by_key(|(key, _)| key.clone()).count(),
                    rows.persist(StorageLevel::SerializedMemoryAndDisk).count(),
                ];
                for outcome in outcomes {
                    match outcome {
                        Ok(_) => assert!(!is_error, "{nodes} levels"),
                        Err(error) => {
                            assert!(is_error, "{error}");
                            assert!(
                                matches!(error.kind(), ErrorKind::NotEncodable { .. }),
                                "{error}"
                            );
                        }
                    }
                }
            }
        }
    });
}

// Cases R-D3 and R-D6 of tests/PROMISES.md.
#[test]
fn unions_of_checkpoints_name_the_one_that_is_damaged() {
    within(DEADLINE, || {
        let ctx = context();
        let folder = tempfile::tempdir().unwrap();
        let path = |n: u64| folder.path().join(format!("saved {n}"));
        (0..6_u64).for_each(|n| ctx.range_with(2, n..n + 2).checkpoint(path(n)).map(drop).unwrap());
        let all = (1..6).fold(ctx.read_checkpoint::<u64>(path(0)), |all, n| {
            all.union(&ctx.read_checkpoint::<u64>(path(n)).map(|n| n).boxed()).boxed()
        });
        assert_eq!(all.collect().unwrap(), [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
        std::fs::write(path(4).join("part-00001"), "torn").unwrap();
        let text = all.collect().unwrap_err().to_string();
        for part in ["read_checkpoint at ", "saved 4", "part-00001", "it has 4 bytes"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(all.take(3).unwrap(), [0, 1, 1]);
    });
}

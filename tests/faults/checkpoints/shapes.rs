//! A checkpoint comes back as rows of the shape that was written, and is refused as any other.

use emberline::prelude::*;
use emberline_core::shape::Shape;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroI64, NonZeroU8};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use testkit::{DEADLINE, scaled, within};

/// A type of rows: writes a checkpoint of them, and reads one.
struct Case {
    name: &'static str,
    /// Cases of one shape have the same number.
    shape: usize,
    found: Shape,
    /// Writes the rows a number of times.
    write: fn(&Context, &Path, usize) -> Result<()>,
    /// Reads rows and compares them with those that were written.
    read: fn(&Context, &Path, usize) -> Result<bool>,
}

/// Lists rows of many types; those in one pair of braces have the same shape.
macro_rules! cases {
    ($({$($type:ty: $rows:expr;)*})*) => {{
        let mut cases = Vec::new();
        let mut shape = 0;
        $(
            $(cases.push(Case {
                name: stringify!($type),
                shape,
                found: Shape::of::<$type>(),
                write: |ctx, path, times| {
                    let rows: Vec<$type> = (0..times).flat_map(|_| $rows).collect();
                    ctx.parallelize_with(3, rows).checkpoint(path).map(drop)
                },
                read: |ctx, path, times| {
                    let rows: Vec<$type> = (0..times).flat_map(|_| $rows).collect();
                    Ok(ctx.read_checkpoint::<$type>(path).collect()? == rows)
                },
            });)*
            shape += 1;
        )*
        let _ = shape;
        cases
    }};
}

/// Lists types; those in one pair of braces have the same shape.
macro_rules! shapes {
    ($({$($type:ty),*})*) => {{
        let mut shapes = Vec::new();
        $(
            let same = [$((stringify!($type), Shape::of::<$type>())),*];
            shapes.push(same.to_vec());
        )*
        shapes
    }};
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sale {
    id: u64,
    price: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Purchase {
    id: u64,
    price: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Swapped {
    price: i64,
    id: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Renamed {
    #[serde(rename = "id")]
    number: u64,
    #[serde(rename = "price")]
    cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Aliased {
    id: u64,
    #[serde(alias = "price", alias = "amount")]
    cents: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Upper {
    id: u64,
    price: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Longer {
    id: u64,
    price: i64,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TupleSale(u64, i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Feet {
    value: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NoFields {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Start,
    Move(i32, i32),
    Say { text: String, loud: bool },
    Wrap(Box<Event>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Reordered {
    Move(i32, i32),
    Start,
    Say { text: String, loud: bool },
    Wrap(Box<Reordered>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum WithStop {
    Start,
    Move(i32, i32),
    Say { text: String, loud: bool },
    Wrap(Box<WithStop>),
    Stop,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Wider {
    Start,
    Move(i32, i64),
    Say { text: String, loud: bool },
    Wrap(Box<Wider>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct List {
    value: u64,
    next: Option<Box<List>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OtherList {
    value: i64,
    next: Option<Box<OtherList>>,
}

/// The same as `List`, in a circle of two types.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Even {
    value: u64,
    next: Option<Box<Odd>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Odd {
    value: u64,
    next: Option<Arc<Even>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Json {
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
    Both(Box<Json>, Box<Json>),
    Number(f64),
    Text(Arc<str>),
    Null,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Generic<T> {
    inner: T,
    more: Vec<T>,
}

/// A number that is stored as text.
#[derive(Clone, Debug, PartialEq)]
struct AsText(u64);

impl Serialize for AsText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for AsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AsText, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(AsText).map_err(serde::de::Error::custom)
    }
}

/// A percentage that is refused outside of 40 to 60, which no sample value is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Picky(u8);

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
        let percent = u8::deserialize(deserializer)?;
        match percent {
            40..=60 => Ok(Picky(percent)),
            _ => Err(serde::de::Error::custom("out of range")),
        }
    }
}

fn lists(depth: u64) -> List {
    (0..depth).fold(List { value: 0, next: None }, |next, value| List {
        value,
        next: Some(Box::new(next)),
    })
}

fn even() -> Even {
    Even {
        value: 1,
        next: Some(Box::new(Odd { value: 2, next: Some(Arc::new(Even { value: 3, next: None })) })),
    }
}

fn json() -> Vec<Json> {
    let inner =
        Json::Object([("a".into(), Json::Null), ("b".into(), Json::Text("x".into()))].into());
    vec![
        Json::Null,
        Json::Array(vec![inner.clone(), Json::Number(1.5)]),
        Json::Both(Box::new(inner), Box::new(Json::Array(vec![]))),
    ]
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    cases! {
        { u64: vec![0, 1, 2, u64::MAX]; Box<u64>: vec![Box::new(3)]; }
        { i64: vec![0, -1, 1, i64::MIN]; }
        { u32: vec![0, 1]; }
        { u8: vec![0, 255]; Picky: vec![Picky(50)]; }
        { u128: vec![0, u128::MAX]; }
        { f64: vec![0.5]; Feet: vec![Feet { value: 1.0 }]; }
        { char: vec!['a', '\u{10ffff}']; }
        { String: vec![String::new(), "tea".into()]; Arc<str>: vec!["x".into()]; PathBuf: vec!["/a/b".into()];
          AsText: vec![AsText(12), AsText(0)]; }
        { (): vec![(), ()]; }
        { Option<Option<u64>>: vec![None, Some(None), Some(Some(2))]; }
        { Option<Box<[u64; 2]>>: vec![None, Some(Box::new([1, 2]))]; }
        { Vec<u64>: vec![vec![], vec![1, 2]]; HashSet<u64>: vec![[1].into()]; }
        { Vec<u8>: vec![vec![1]]; }
        { (u64, String): vec![(1, "x".into())]; }
        { TupleSale: vec![TupleSale(1, 2)]; }
        { Sale: vec![Sale { id: 1, price: 2 }]; Renamed: vec![Renamed { number: 1, cents: 2 }];
          Aliased: vec![Aliased { id: 1, cents: 2 }]; }
        { Swapped: vec![Swapped { id: 1, price: 2 }]; }
        { Event: vec![Event::Start, Event::Move(1, 2), Event::Say { text: "x".into(), loud: true }, Event::Wrap(Box::new(Event::Start))]; }
        { Wider: vec![Wider::Start, Wider::Move(1, 2)]; }
        { List: vec![lists(0), lists(3), lists(50)]; Even: vec![even()]; }
        { Json: json(); }
        { Duration: vec![Duration::from_millis(1500)]; }
        { IpAddr: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0; 16])]; }
        { HashMap<String, u64>: vec![HashMap::new(), [("x".into(), 1)].into()]; }
    }
}

#[rustfmt::skip]
fn shapes() -> Vec<Vec<(&'static str, Shape)>> {
    shapes! {
        { u64, usize, Box<u64>, Arc<u64>, std::num::Wrapping<u64> }
        { i64, isize, NonZeroI64 }
        { u32 } { i32 } { u16 } { i16 } { i8 } { u128 } { i128 } { f32 } { bool } { char }
        { u8, NonZeroU8, Picky }
        { f64, Meters, Feet }
        { String, Arc<str>, Box<str>, PathBuf, AsText, std::borrow::Cow<'static, str> }
        { (), Nothing, std::marker::PhantomData<u64> }
        { NoFields }
        { Option<u64>, Option<Box<u64>> }
        { Option<i64> } { Option<Option<u64>> } { Option<()> }
        { Option<Box<[u64; 2]>>, Option<(u64, u64)> }
        { Vec<u64>, HashSet<u64>, BTreeSet<u64>, Arc<[u64]>, std::collections::VecDeque<u64> }
        { Vec<i64> } { Vec<u8>, Box<[u8]> } { Vec<Vec<u64>> } { Vec<Option<u64>> } { Vec<(u64,)> }
        { (u64, String) } { (String, u64) } { (u64, u64), [u64; 2] } { (u64, u64, u64), [u64; 3] } { (u64,) }
        { [u8; 16] } { [u8; 32] } { [(u8, u16); 3] }
        { TupleSale, (u64, i64) }
        { Sale, Purchase, Renamed, Aliased }
        { Swapped } { Upper } { Longer }
        { Event } { Reordered } { WithStop } { Wider }
        { List, Even } { OtherList } { Tree, Vec<Tree> } { Json }
        { Duration } { SystemTime } { IpAddr } { SocketAddr } { Ipv4Addr, [u8; 4] }
        { HashMap<String, u64>, BTreeMap<String, u64>, BTreeMap<Arc<str>, Box<u64>> }
        { HashMap<String, i64> } { BTreeMap<u64, String> } { BTreeMap<String, Vec<u64>> }
        { Result<u64, String> } { Result<String, u64> }
        { Generic<u64> } { Generic<String> } { Generic<Generic<u8>> }
        { (u8, Vec<(Event, Option<Json>)>) } { (u8, Vec<(Wider, Option<Json>)>) }
        { std::ops::Range<u32> } { std::ops::RangeFrom<u32> } { std::ops::Bound<u32> }
    }
}

fn context() -> Context {
    Context::builder().threads(2).build().unwrap()
}

// Case R-A10 of tests/PROMISES.md.
#[test]
fn a_checkpoint_of_unsigned_numbers_is_not_read_as_signed_ones() {
    within(DEADLINE, || {
        let ctx = context();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saved");
        ctx.parallelize_with(2, vec![0_u64, 1, 2, 3]).checkpoint(&path).map(drop).unwrap();
        let (line, read) = (line!(), ctx.read_checkpoint::<i64>(&path));
        let error = read.collect().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }), "{error}");
        let text = error.to_string();
        for part in [
            &format!("read_checkpoint at tests/faults/checkpoints/shapes.rs:{line}"),
            "`u64`",
            "`i64`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(ctx.read_checkpoint::<u64>(&path).collect().unwrap(), [0, 1, 2, 3]);
    });
}

// Case R-A10 of tests/PROMISES.md.
#[test]
fn a_checkpoint_of_any_type_is_read_as_types_of_its_shape_and_refused_as_any_other() {
    within(4 * DEADLINE, || {
        let (ctx, cases) = (context(), cases());
        for round in 0..scaled(1) {
            let folder = tempfile::tempdir().unwrap();
            for (at, written) in cases.iter().enumerate() {
                // Every second checkpoint of the first round has no rows.
                let times = (round + at) % 2;
                let path = folder.path().join(at.to_string());
                (written.write)(&ctx, &path, times).unwrap();
                for read in &cases {
                    let names = format!("{} as {}", written.name, read.name);
                    let outcome = (read.read)(&ctx, &path, times);
                    if read.name == written.name {
                        assert!(outcome.expect(&names), "{names}");
                    } else if read.shape == written.shape {
                        // A row may still be refused by the type itself, such as 0 as a `Picky`.
                        let text = outcome.err().map(|error| error.to_string()).unwrap_or_default();
                        assert!(!text.contains("were written as"), "{names}: {text}");
                    } else {
                        let error = outcome.expect_err(&names);
                        assert!(
                            matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }),
                            "{names}: {error}"
                        );
                        assert!(error.to_string().contains("were written as"), "{names}: {error}");
                        assert!(
                            error.to_string().contains(&read.found.to_string()),
                            "{names}: {error}"
                        );
                    }
                }
            }
            let path = folder.path().join("whole");
            cases.iter().for_each(|case| {
                (case.write)(&ctx, &path, 3).unwrap();
                assert!((case.read)(&ctx, &path, 3).unwrap(), "{}", case.name);
                std::fs::remove_dir_all(&path).unwrap();
            });
        }
    });
}

// Case R-A10 of tests/PROMISES.md.
#[test]
fn shapes_of_types_are_equal_exactly_if_their_rows_can_be_exchanged() {
    within(DEADLINE, || {
        let all = shapes();
        for (number, shapes) in all.iter().enumerate() {
            for (name, shape) in shapes {
                assert_eq!(Shape::decode(&shape.encode()).unwrap(), *shape, "{name}");
                for (other_number, others) in all.iter().enumerate() {
                    for (other_name, other) in others {
                        let is_equal = shape.difference(other).is_none();
                        let is_same = number == other_number;
                        assert_eq!(is_equal, is_same, "{name}, {other_name}: {shape}, {other}");
                    }
                }
            }
        }
    });
}

// Case R-A10 of tests/PROMISES.md.
#[test]
fn the_error_of_another_shape_shows_both_shapes_and_the_first_difference() {
    within(DEADLINE, || {
        let ctx = context();
        let folder = tempfile::tempdir().unwrap();
        let refused = |written: &Rdd<Event>| {
            let path = folder.path().join("saved");
            written.checkpoint(&path).map(drop).unwrap();
            ctx.read_checkpoint::<Wider>(&path).collect().unwrap_err().to_string()
        };
        let text = refused(&ctx.parallelize_with(2, vec![Event::Start]));
        let shape = |of: &str| {
            format!(
                "enum {{Start, Move(i32, {of}), Say{{text: string, loud: bool}}, Wrap((recursive))}}"
            )
        };
        assert!(text.contains(&format!("written as `{}`", shape("i32"))), "{text}");
        assert!(text.contains(&format!("read as `{}`", shape("i64"))), "{text}");
        assert!(text.contains("at `::Move.1`: `i32`, `i64`"), "{text}");
    });
}

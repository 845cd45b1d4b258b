//! Tests of shapes.

use super::*;
use serde::{Deserializer, de};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn text<T: DeserializeOwned>() -> String {
    let shape = Shape::of::<T>();
    let bytes = shape.encode();
    assert_eq!(Shape::decode(&bytes).unwrap(), shape);
    assert_eq!(shape.difference(&Shape::of::<T>()), None);
    shape.to_string()
}

#[test]
fn types_of_std_have_the_shape_of_their_bytes() {
    assert_eq!(text::<u64>(), "u64");
    assert_eq!(text::<(bool, i8, f32, char, u128)>(), "(bool, i8, f32, char, u128)");
    assert_eq!(text::<String>(), "string");
    assert_eq!(text::<Arc<str>>(), "string");
    assert_eq!(text::<PathBuf>(), "string");
    assert_eq!(text::<()>(), "()");
    assert_eq!(text::<(u8,)>(), "(u8,)");
    assert_eq!(text::<[u8; 16]>(), "[u8; 16]");
    assert_eq!(text::<Vec<Option<Box<[u8]>>>>(), "[Option<[u8]>]");
    assert_eq!(text::<HashSet<u8>>(), "[u8]");
    assert_eq!(text::<HashMap<String, Vec<u8>>>(), "map<string, [u8]>");
    assert_eq!(text::<BTreeMap<u8, bool>>(), "map<u8, bool>");
    assert_eq!(text::<Duration>(), "{secs: u64, nanos: u32}");
    assert_eq!(text::<SystemTime>(), "{secs_since_epoch: u64, nanos_since_epoch: u32}");
    assert_eq!(text::<IpAddr>(), "enum {V4[u8; 4], V6[u8; 16]}");
    assert_eq!(text::<Result<u8, String>>(), "enum {Ok(u8), Err(string)}");
    assert_eq!(text::<std::ops::Range<i32>>(), "{start: i32, end: i32}");
    assert_eq!(text::<NonZeroU32>(), "u32");
    assert_eq!(text::<std::cmp::Reverse<u8>>(), "u8");
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
struct List {
    value: u64,
    next: Option<Box<List>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
enum Json {
    Array(Vec<Json>),
    Object(HashMap<String, Json>),
    Pair(Box<Json>, Box<Json>),
    Named { a: Box<Json>, b: Option<Arc<Json>> },
    Number(f64),
    Null,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
#[serde(transparent)]
struct Forest(Vec<Forest>);

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
struct Endless(Box<Endless>);

#[test]
fn recursive_types_have_a_shape() {
    assert_eq!(text::<List>(), "{value: u64, next: Option<(recursive)>}");
    let json = "enum {Array([(recursive)]), Object(map<string, (recursive)>), Pair((recursive), \
                (recursive)), Named{a: (recursive), b: Option<(recursive)>}, Number(f64), Null}";
    assert_eq!(text::<Json>(), json);
    assert_eq!(text::<(Json, u8)>(), format!("({json}, u8)"));
    assert_eq!(text::<Forest>(), "[(recursive)]");
    assert_eq!(text::<Endless>(), "?");
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
struct Renamed {
    #[serde(rename = "the id")]
    id: u32,
    #[serde(alias = "old", alias = "older")]
    new: Meters,
    #[serde(default)]
    kind: Kind,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read by serde")]
struct Meters(f64);

#[derive(Deserialize, Default)]
#[expect(dead_code, reason = "read by serde")]
enum Kind {
    #[default]
    #[serde(rename = "a")]
    A,
    #[serde(alias = "bb")]
    B(Option<Box<Renamed>>),
}

#[test]
fn attributes_of_serde_are_part_of_the_shape() {
    let kind = "enum {a, B, bb} of ((), Option<(recursive)>)";
    let renamed = format!("{{the id, new, old, older, kind}} of (u32, f64, {kind})");
    assert_eq!(text::<Renamed>(), renamed);
}

/// An even number, as a string.
struct Even;

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number: u64 = text.parse().map_err(|_| de::Error::custom("no number"))?;
        if number.is_multiple_of(2) { Ok(Even) } else { Err(de::Error::custom("odd")) }
    }
}

/// A type that refuses all samples.
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let _ = String::deserialize(deserializer)?;
        Err(de::Error::custom("never"))
    }
}

struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        std::panic::resume_unwind(Box::new("no"))
    }
}

struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Anything)
    }
}

#[test]
fn types_that_are_deserialized_by_hand_are_known_as_far_as_they_accept_samples() {
    assert_eq!(text::<(u8, Even, u16)>(), "(u8, string, u16)");
    assert_eq!(text::<(u8, Picky, u16)>(), "(u8, string, ?)");
    assert_eq!(text::<(u8, Option<Picky>, u16)>(), "(u8, Option<string>, u16)");
    assert_eq!(text::<(u8, Vec<Picky>, u16)>(), "(u8, [string], u16)");
    assert_eq!(text::<(u8, Result<Picky, u8>, u16)>(), "(u8, enum {Ok(string), Err(u8)}, u16)");
    assert_eq!(text::<(u8, Anything)>(), "(u8, ?)");
    assert_eq!(text::<(u8, Panics, u16)>(), "(u8, ?, ?)");
    assert_eq!(text::<Panics>(), "?");
}

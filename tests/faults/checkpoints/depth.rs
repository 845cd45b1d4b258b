//! Rows of any depth: those within the limit come back, and deeper ones are an error and never a stack overflow.

use emberline::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use testkit::{on_stack, scaled};

/// The maximum number of levels of a row, from docs/limits.md.
const MAX_LEVELS: usize = 2048;
/// The stack of a thread of std.
const SMALL_STACK_BYTES: usize = 2 << 20;

/// A row with one value in another. The methods that recurse when they are derived do not.
trait Node: Clone + Send + Sync + Serialize + DeserializeOwned + Debug + 'static {
    /// The levels that a node adds to the one inside it.
    const LEVELS: usize;

    fn wrap(next: Option<Self>) -> Self;
    fn next(&self) -> Option<&Self>;
    fn take_next(&mut self) -> Option<Self>;

    fn with_nodes(nodes: usize) -> Self {
        (1..nodes).fold(Self::wrap(None), |next, _| Self::wrap(Some(next)))
    }

    fn nodes(&self) -> usize {
        std::iter::successors(Some(self), |node| node.next()).count()
    }
}

macro_rules! without_recursion {
    ($($name:ident),*) => {
        $(
            impl Clone for $name {
                fn clone(&self) -> $name {
                    $name::with_nodes(self.nodes())
                }
            }

            impl Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{} nodes", self.nodes())
                }
            }

            impl Drop for $name {
                fn drop(&mut self) {
                    let mut next = self.take_next();
                    while let Some(mut node) = next {
                        next = node.take_next();
                    }
                }
            }
        )*
    };
}

/// Defines a type whose node is `$own`, and that of the node inside it, if there is one, `$link`.
macro_rules! nodes {
    ($($name:ident, $levels:literal, |$next:ident| $wrap:expr, $pattern:pat => $inner:expr, $take:expr;)*) => {
        without_recursion!($($name),*);
        $(
            impl Node for $name {
                const LEVELS: usize = $levels;

                fn wrap($next: Option<$name>) -> $name {
                    $wrap
                }

                fn next(&self) -> Option<&$name> {
                    match self {
                        $pattern => $inner,
                        #[allow(unreachable_patterns)]
                        _ => None,
                    }
                }

                fn take_next(&mut self) -> Option<$name> {
                    let take: fn(&mut $name) -> Option<$name> = $take;
                    take(self)
                }
            }
        )*
    };
}

#[derive(Serialize, Deserialize)]
struct List {
    next: Option<Box<List>>,
    value: u64,
}

#[derive(Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Inline(Vec<Inline>);

#[derive(Serialize, Deserialize)]
enum Chain {
    End,
    Link(Box<Chain>),
}

#[derive(Serialize, Deserialize)]
enum Named {
    End,
    Link { value: String, next: Box<Named> },
}

#[derive(Serialize, Deserialize)]
enum Tuple {
    End,
    Link(u8, Box<Tuple>),
}

#[derive(Serialize, Deserialize)]
struct Map(BTreeMap<u8, Map>);

#[derive(Serialize, Deserialize)]
struct Pair((u8, Option<Box<Pair>>));

#[derive(Serialize, Deserialize)]
struct Keyed(BTreeMap<Option<u8>, (String, Option<Box<Keyed>>)>);

fn one_of<K: Ord + Default, V>(value: Option<V>) -> BTreeMap<K, V> {
    value.into_iter().map(|value| (K::default(), value)).collect()
}

/// Takes the node behind a link that is always there, unless it is the last one.
fn taken<N: Node>(link: &mut N, last: N) -> Option<N> {
    link.next().is_some().then(|| std::mem::replace(link, last))
}

nodes! {
    List, 2, |next| List { value: 7, next: next.map(Box::new) },
        List { next, .. } => next.as_deref(), |node| node.next.take().map(|next| *next);
    Tree, 2, |next| Tree(next.into_iter().collect()), Tree(next) => next.first(), |node| node.0.pop();
    Inline, 1, |next| Inline(next.into_iter().collect()), Inline(next) => next.first(), |node| node.0.pop();
    Chain, 1, |next| next.map_or(Chain::End, |next| Chain::Link(Box::new(next))),
        Chain::Link(next) => Some(next),
        |node| match node { Chain::Link(next) => taken(next, Chain::End), Chain::End => None };
    Named, 1, |next| next.map_or(Named::End, |next| Named::Link { value: "x".into(), next: Box::new(next) }),
        Named::Link { next, .. } => Some(next),
        |node| match node { Named::Link { next, .. } => taken(next, Named::End), Named::End => None };
    Tuple, 1, |next| next.map_or(Tuple::End, |next| Tuple::Link(1, Box::new(next))),
        Tuple::Link(_, next) => Some(next),
        |node| match node { Tuple::Link(_, next) => taken(next, Tuple::End), Tuple::End => None };
    Map, 2, |next| Map(one_of(next)), Map(next) => next.values().next(),
        |node| node.0.pop_first().map(|(_, next)| next);
    Pair, 3, |next| Pair((1, next.map(Box::new))), Pair((_, next)) => next.as_deref(),
        |node| node.0.1.take().map(|next| *next);
    Keyed, 4, |next| Keyed([(Some(1), ("x".into(), next.map(Box::new)))].into()),
        Keyed(map) => map.values().next().and_then(|(_, next)| next.as_deref()),
        |node| node.0.pop_first().and_then(|(_, (_, next))| next).map(|next| *next);
}

/// A job over rows of any depth, which returns the number of nodes of each row.
type Job<N> = fn(&Context, &Rdd<(u64, N)>) -> Result<Vec<usize>>;

fn nodes_of<N: Node>(rows: &Rdd<(u64, N)>) -> Result<Vec<usize>> {
    let mut nodes = rows.map(|(_, node)| node.nodes()).collect()?;
    nodes.sort_unstable();
    Ok(nodes)
}

/// Returns all jobs whose rows are measured, encoded or decoded.
fn jobs<N: Node>() -> Vec<(&'static str, Job<N>)> {
    vec![
        ("memory", |_, rows| nodes_of(&rows.persist(StorageLevel::Memory))),
        ("serialized", |_, rows| {
            let rows = rows.persist(StorageLevel::SerializedMemory);
            rows.count()?;
            nodes_of(&rows)
        }),
        ("disk", |_, rows| {
            let rows = rows.persist(StorageLevel::Disk);
            rows.count()?;
            nodes_of(&rows)
        }),
        ("local checkpoint", |_, rows| nodes_of(&rows.local_checkpoint()?)),
        ("repartition", |_, rows| nodes_of(&rows.repartition(3))),
        ("reduce", |_, rows| nodes_of(&rows.reduce_by_key(|left, _| left))),
        ("group", |_, rows| {
            nodes_of(&rows.group_by_key().flat_map(|(key, group)| {
                group.iter().cloned().map(|node| (key, node)).collect::<Vec<_>>()
            }))
        }),
        ("join", |_, rows| nodes_of(&rows.join(rows).map_values(|(left, _)| left))),
        ("sort", |_, rows| nodes_of(&rows.sort_by_key(|(key, _)| *key))),
        ("checkpoint", |ctx, rows| {
            let folder = tempfile::tempdir().unwrap();
            nodes_of(&rows.checkpoint(folder.path().join("saved"))?)?;
            nodes_of(&ctx.read_checkpoint::<(u64, N)>(folder.path().join("saved")))
        }),
    ]
}

fn contexts() -> Vec<(&'static str, Context)> {
    let builder = || Context::builder().threads(2);
    vec![
        ("in memory", builder().build().unwrap()),
        ("spilled", builder().force_spill(true).build().unwrap()),
    ]
}

fn assert_too_deep(outcome: &Result<Vec<usize>>, what: &str) {
    let error = outcome.as_ref().expect_err(what);
    assert!(matches!(error.kind(), ErrorKind::NotEncodable { .. }), "{what}: {error}");
    assert!(error.to_string().contains("2048 levels"), "{what}: {error}");
}

/// Runs each job with rows of several depths, one of them `nodes`.
fn assert_all<N: Node>(nodes: usize, is_too_deep: bool) {
    for (storage, ctx) in contexts() {
        for (name, job) in jobs::<N>() {
            let what =
                format!("{} of {nodes} nodes, {name}, {storage}", std::any::type_name::<N>());
            let rows = ctx.range_with(2, 0..4_u64).boxed();
            let rows =
                rows.map(move |n| (n, N::with_nodes(if n == 2 { nodes } else { 3 }))).boxed();
            let outcome = job(&ctx, &rows);
            if is_too_deep {
                assert_too_deep(&outcome, &what);
            } else {
                assert_eq!(outcome.expect(&what), [3, 3, 3, nodes], "{what}");
            }
        }
    }
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn a_list_of_fifty_thousand_nodes_is_an_error_and_one_of_a_thousand_comes_back() {
    on_stack(SMALL_STACK_BYTES, || {
        assert_all::<List>(1_000, false);
        assert_all::<List>(50_000, true);
    });
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn rows_of_every_kind_of_nesting_come_back_up_to_the_limit_and_are_an_error_beyond() {
    fn try_depths<N: Node>(round: usize) {
        // The pair of key and node, and what is inside the last node, take a few levels.
        assert_all::<N>(MAX_LEVELS / N::LEVELS - 6 - round % 50, false);
        assert_all::<N>(MAX_LEVELS / N::LEVELS + 1 + 1_000 * round, true);
    }
    on_stack(SMALL_STACK_BYTES, || {
        for round in 0..scaled(1) {
            try_depths::<Tree>(round);
            try_depths::<Inline>(round);
            try_depths::<Chain>(round);
            try_depths::<Named>(round);
            try_depths::<Tuple>(round);
            try_depths::<Map>(round);
            try_depths::<Pair>(round);
            try_depths::<Keyed>(round);
        }
    });
}

/// Bytes that are written as they are, and read as another type.
#[derive(Clone, Debug)]
struct Forged(Vec<u8>);

impl Serialize for Forged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Forged {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Forged, D::Error> {
        Err(serde::de::Error::custom("this type is never read"))
    }
}

/// Writes a checkpoint of forged bytes, and reads it as rows of `N`.
fn read_forged<N: Node>(bytes: Vec<u8>) -> Result<Vec<usize>> {
    let ctx = Context::builder().threads(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved");
    ctx.parallelize_with(1, vec![Forged(bytes)]).checkpoint(&path).map(drop)?;
    ctx.read_checkpoint::<N>(&path).map(|node| node.nodes()).collect()
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn hostile_bytes_of_deep_rows_are_an_error() {
    on_stack(SMALL_STACK_BYTES, || {
        let levels =
            |node: &[u8], nodes: usize, last: &[u8]| [node.repeat(nodes), last.to_vec()].concat();
        assert_eq!(read_forged::<Inline>(levels(&[1], 99, &[0])).unwrap(), [100]);
        assert_eq!(read_forged::<Chain>(levels(&[1], 99, &[0])).unwrap(), [100]);
        for nodes in [3_000, 50_000, scaled(500_000)] {
            for outcome in [
                read_forged::<Inline>(levels(&[1], nodes, &[0])),
                read_forged::<Tree>(levels(&[1], nodes, &[0])),
                read_forged::<Chain>(levels(&[1], nodes, &[0])),
                read_forged::<Tuple>(levels(&[1, 7], nodes, &[0])),
                read_forged::<Pair>(levels(&[7, 1], nodes, &[7, 0])),
                read_forged::<Map>(levels(&[1, 0], nodes, &[0])),
                read_forged::<List>(levels(&[1], nodes, &[0, 7])),
            ] {
                let error = outcome.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::InvalidCheckpoint { .. }), "{error}");
                assert!(error.to_string().contains("2048 levels"), "{error}");
            }
        }
    });
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn rows_of_any_depth_that_are_not_serialized_are_collected() {
    on_stack(SMALL_STACK_BYTES, || {
        let ctx = Context::builder().threads(2).max_result_bytes(1 << 20).build().unwrap();
        let rows = ctx.range_with(2, 0..2_u64).map(|_| List::with_nodes(50_000)).boxed();
        let nodes: Vec<usize> = rows.collect().unwrap().iter().map(List::nodes).collect();
        assert_eq!(nodes, [50_000, 50_000]);
        assert_eq!(rows.reduce(|left, _| left).unwrap().map(|list| list.nodes()), Some(50_000));
    });
}

/// The same with derived methods, which recurse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Derived {
    Leaf(u64),
    List(Vec<Derived>),
    Link { next: Option<Box<Derived>> },
}

// Case R-C4 of tests/PROMISES.md.
#[test]
fn rows_at_the_limit_have_derived_methods_and_come_back() {
    on_stack(SMALL_STACK_BYTES, || {
        let rows = |lists: usize, links: usize| {
            let list = (0..lists).fold(Derived::Leaf(1), |inner, _| Derived::List(vec![inner]));
            (0..links).fold(list, |next, _| Derived::Link { next: Some(Box::new(next)) })
        };
        for (lists, links) in [(1_000, 0), (0, 1_000), (500, 500)] {
            for (storage, ctx) in contexts() {
                let want = vec![(0_u64, rows(lists, links)), (1, rows(links, lists))];
                let made = ctx.parallelize_with(2, want.clone());
                assert!(made.cache().collect().unwrap() == want, "{storage}");
                let disk = made.persist(StorageLevel::Disk);
                disk.count().unwrap();
                assert!(disk.collect().unwrap() == want, "{storage}");
                let mut sorted = made.repartition(3).collect().unwrap();
                sorted.sort_by_key(|(key, _)| *key);
                assert!(sorted == want, "{storage}");
            }
        }
    });
}

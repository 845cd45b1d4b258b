//! Transitive closure: all direct and indirect dependencies of each R package of Debian.
//!
//! ```text
//! cargo run --release --example transitive_closure     the graph in examples/data
//! ```
//!
//! Each iteration joins the new paths with the edges, until there are no new paths. Edges are
//! partitioned once; only paths are shuffled. Prints the packages with most dependencies, and then
//! one line `edges=N paths=M`.

use emberline::prelude::*;

pub const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/r_packages.tsv");

/// A package and one of its dependencies.
pub type Edge = (String, String);

fn main() -> Result<(), BoxError> {
    let edges = edges(&Context::local()?, GRAPH);
    let paths = closure(&edges)?;
    let needs = paths.map(|(package, _)| (package, 1_u32)).reduce_by_key(|a, b| a + b);
    for (package, n) in needs.top_by_key(5, |(package, n)| (*n, package.clone()))? {
        println!("{n:>6}  {package}");
    }
    println!("edges={} paths={}", edges.count()?, paths.count()?);
    Ok(())
}

pub fn edges(ctx: &Context, path: &str) -> Rdd<Edge> {
    let edge = |line: String| {
        let (package, needed) = line.split_once('\t').ok_or("a line without a tab")?;
        Ok((package.to_string(), needed.to_string()))
    };
    ctx.text_file(path).try_map(edge).distinct().cache()
}

/// Returns each package with each of its direct and indirect dependencies.
pub fn closure(edges: &Rdd<Edge>) -> emberline::Result<Rdd<Edge>> {
    // Paths are joined by their end with the edges that begin there, which are not shuffled again.
    let by_start = edges.partition_by(8).cache();
    let mut paths = edges.boxed();
    let mut fresh = edges.boxed();
    while !fresh.is_empty()? {
        let longer = fresh.map(|(from, to)| (to, from)).join(&by_start).values();
        fresh = longer.with_partitions(8).distinct().subtract(&paths).cache();
        paths = paths.union(&fresh).boxed();
    }
    Ok(paths)
}

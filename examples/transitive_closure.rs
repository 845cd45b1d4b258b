//! Which packages a package needs in the end: the transitive closure of a real graph.
//!
//! ```text
//! cargo run --release --example transitive_closure     R packages of Debian that come with the source
//! ```
//!
//! Each round joins the paths that are new with the edges, until it finds none that are not known.
//! Edges are partitioned once; only paths move. Prints the packages that need most and then one
//! line `edges=N paths=M`.

use emberline::prelude::*;

pub const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/r_packages.tsv");

/// A package and one that it needs.
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

/// Every package with every one it needs directly or through others.
pub fn closure(edges: &Rdd<Edge>) -> emberline::Result<Rdd<Edge>> {
    // A path that ends at a package meets the edges that begin there; these lie still.
    let by_start = edges.partition_by(8).cache();
    let (mut paths, mut fresh) = (edges.boxed(), edges.boxed());
    while !fresh.is_empty()? {
        let longer = fresh.map(|(from, to)| (to, from)).join(&by_start).values();
        fresh = longer.with_partitions(8).distinct().subtract(&paths).cache();
        paths = paths.union(&fresh).boxed();
    }
    Ok(paths)
}

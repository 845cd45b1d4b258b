//! Which packages a package needs in the end: the transitive closure of a real graph.
//!
//! ```text
//! cargo run --release --example transitive_closure     R packages of Debian that come with the source
//! ```
//!
//! Each round joins the paths found so far with the edges, until a round finds nothing new. Edges
//! are partitioned once; only paths move. Prints the packages that need most and then one line
//! `edges=N paths=M rounds=R`.

use emberline::prelude::*;

pub const GRAPH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/r_packages.tsv");

/// A package and one that it needs.
pub type Edge = (String, String);

fn main() -> Result<(), BoxError> {
    let ctx = Context::local()?;
    let edges = edges(&ctx, GRAPH);
    let (paths, rounds) = closure(&edges)?;
    let needs = paths.map(|(package, _)| (package, 1_u32)).reduce_by_key(|a, b| a + b);
    for (package, n) in needs.top_by(5, |(package, n)| (*n, package.clone()))? {
        println!("{n:>6}  {package}");
    }
    println!("edges={} paths={} rounds={rounds}", edges.count()?, paths.count()?);
    Ok(())
}

pub fn edges(ctx: &Context, path: &str) -> Rdd<Edge> {
    let edge = |line: String| {
        let (package, needed) = line.split_once('\t').ok_or("a line without a tab")?;
        Ok((package.to_string(), needed.to_string()))
    };
    ctx.text_file(path).try_map(edge).distinct().cache()
}

/// Every package with every one it needs directly or through others, and the rounds that took.
pub fn closure(edges: &Rdd<Edge>) -> emberline::Result<(Rdd<Edge>, usize)> {
    // A path that ends at a package meets the edges that begin there; these lie still.
    let by_start = edges.partition_by(8).cache();
    let mut paths = edges.boxed();
    let (mut known, mut rounds) = (paths.count()?, 0);
    loop {
        let by_end = paths.map(|(from, to)| (to, from));
        let longer = by_end.join(&by_start).map(|(_, (from, to))| (from, to));
        paths = paths.union(&longer).distinct_with(8).cache();
        rounds += 1;
        let found = paths.count()?;
        if found == known {
            return Ok((paths, rounds));
        }
        known = found;
    }
}

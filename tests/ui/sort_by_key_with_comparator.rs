//! A comparator passed to `sort_by_key`. Fix: `sort_by`.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let sorted = ctx.parallelize(vec![3, 1, 2]).sort_by_key(|a, b| b.cmp(a));
    println!("{:?}", sorted.collect()?);
    Ok(())
}

//! A join of two key types. Fix: convert the keys of one side first.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let prices = ctx.parallelize(vec![(1_u32, 250_u64)]);
    let names = ctx.parallelize(vec![(1_u64, "tea".to_string())]);
    println!("{:?}", prices.join(&names).collect()?);
    Ok(())
}

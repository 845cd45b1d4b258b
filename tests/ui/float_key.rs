//! A float as a key. Fix: key by an integer.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let prices = ctx.parallelize(vec![1.5, 2.5, 1.5]);
    let counts = prices.map(|price| (price, 1)).reduce_by_key(|a, b| a + b);
    println!("{:?}", counts.collect()?);
    Ok(())
}

//! An operation without a shuffle after `with_partitions`. Fix: call it before, or after the shuffle.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let numbers = ctx.range(0..10_u64);
    let pairs = numbers.with_partitions(8).map(|n| (n % 3, n));
    println!("{:?}", pairs.reduce_by_key(|a, b| a + b).collect()?);
    Ok(())
}

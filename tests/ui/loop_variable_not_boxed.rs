//! A loop variable without `boxed`. Fix: `.boxed()` at the end of the assignment.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let mut numbers: Rdd<u64> = ctx.range(0..10_u64).boxed();
    for _ in 0..3 {
        numbers = numbers.map(|n| n + 1);
    }
    println!("{:?}", numbers.collect()?);
    Ok(())
}

//! Two branches of an `if` without `boxed`. Fix: `.boxed()` on both.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let numbers = ctx.range(0..10_u64);
    let only_even = true;
    let chosen = if only_even { numbers.filter(|n| n % 2 == 0) } else { numbers };
    println!("{:?}", chosen.collect()?);
    Ok(())
}

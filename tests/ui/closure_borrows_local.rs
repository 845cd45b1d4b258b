//! A closure that borrows a local variable. Fix: `move`.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let limit = 5;
    let few = ctx.range(0..10_u64).filter(|n| *n < limit);
    println!("{:?}", few.collect()?);
    Ok(())
}

//! A `Group` in the cache. Fix: `group_by_key`, or cache the result of `map_values`.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let groups = ctx.range(0..10_u64).map(|n| (n % 3, n)).group_by_key_iter().cache();
    println!("{}", groups.count()?);
    Ok(())
}

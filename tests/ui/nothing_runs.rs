//! A transformation without an action, and an action with an unread result. Both are warnings unless denied.
//! Fix: call an action, and use `?`.

#![deny(unused_must_use)]

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let numbers = ctx.range(0..10_u64);
    numbers.inspect(|n| println!("{n}"));
    numbers.for_each(|n| println!("{n}"));
    Ok(())
}

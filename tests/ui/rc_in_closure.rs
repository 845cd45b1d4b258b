//! An `Rc` in a closure. Fix: `Arc`.

use emberline::prelude::*;
use std::rc::Rc;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let offset = Rc::new(1);
    let shifted = ctx.range(0..10_u64).map(move |n| n + *offset);
    println!("{:?}", shifted.collect()?);
    Ok(())
}

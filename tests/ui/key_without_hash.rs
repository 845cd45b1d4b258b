//! A key type without `Hash`. Fix: add `Hash` to the derives.

use emberline::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Plane(u32);

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let flights = ctx.range(0..10_u32).map(|n| (Plane(n % 3), 1));
    println!("{:?}", flights.reduce_by_key(|a, b| a + b).collect()?);
    Ok(())
}

//! A `&str` as a key. Fix: `to_string`.

use emberline::prelude::*;

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let words = ctx.parallelize(vec!["the", "ember", "the"]);
    let counts = words.map(|word| (word, 1)).reduce_by_key(|a, b| a + b);
    println!("{:?}", counts.collect()?);
    Ok(())
}

//! Estimates pi from random points in a square: the fraction that is inside the circle.
//!
//! ```text
//! cargo run --release --example monte_carlo_pi         ten million points
//! cargo run --release --example monte_carlo_pi POINTS
//! ```
//!
//! Prints one line `darts=N inside=M pi=X`. A point depends only on its index, so every run and
//! every number of threads gives the same result.

use emberline::prelude::*;

fn main() -> Result<(), BoxError> {
    let darts = std::env::args().nth(1).map_or(Ok(10_000_000), |darts| darts.parse())?;
    let inside = inside(&Context::local()?, darts)?;
    println!("darts={darts} inside={inside} pi={:.6}", 4.0 * inside as f64 / darts as f64);
    Ok(())
}

/// Counts those of the first `darts` points that are inside the circle.
pub fn inside(ctx: &Context, darts: u64) -> emberline::Result<u64> {
    let points = ctx.range(0..darts).map(|dart| (unit(2 * dart), unit(2 * dart + 1)));
    points.filter(|(x, y)| x * x + y * y < 1.0).count()
}

/// Returns the `i`-th number of splitmix64 (Steele, Lea and Flood 2014), between 0 and 1.
fn unit(i: u64) -> f64 {
    let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

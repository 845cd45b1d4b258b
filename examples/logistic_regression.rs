//! Logistic regression: predicts from departure delay and distance if a flight arrives late.
//!
//! ```text
//! cargo run --release --example logistic_regression    three days of flights in examples/data
//! ```
//!
//! Gradient descent over cached points; each iteration reads them by reference (`refs`) and shares
//! its weights with all tasks (`with`). Prints one line `weights=W points=N right=M`: the weights
//! of a constant, of each hour late at departure and of each thousand miles, and the number of
//! points that are classified correctly.

use emberline::prelude::*;

pub const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights/flights.csv");
pub const ROUNDS: usize = 50;
pub const RATE: f64 = 0.001;

type Vector = [f64; 3];

fn main() -> Result<(), BoxError> {
    let (weights, right, points) = logistic_regression(&Context::local()?, FLIGHTS)?;
    println!("weights={weights:.3?} points={points} right={right}");
    Ok(())
}

/// Returns the weights, the number of correctly classified points, and the number of points.
pub fn logistic_regression(ctx: &Context, path: &str) -> emberline::Result<(Vector, u64, u64)> {
    let points = ctx.text_file(path).filter_map(|line| point(&line)).cache();
    let mut weights = [0.0; 3];
    for _ in 0..ROUNDS {
        let gradient = points.refs().with(weights).map(|w, (x, y)| {
            let error = y / (1.0 + (y * dot(w, x)).exp());
            x.map(|x| RATE * error * x)
        });
        weights = gradient.reduce(plus)?.map_or(weights, |step| plus(weights, step));
    }
    let right = points.refs().with(weights).filter(|w, (x, y)| y * dot(w, x) > 0.0).count()?;
    Ok((weights, right, points.count()?))
}

/// Parses the features of a flight, and 1 if it arrived late or -1 if not. Returns `None` for the
/// header and for flights that were cancelled or did not arrive.
fn point(line: &str) -> Option<(Vector, f64)> {
    let row: Vec<&str> = line.split(',').collect();
    let number = |column: usize| row.get(column)?.parse::<f64>().ok();
    let late = if number(8)? > 0.0 { 1.0 } else { -1.0 };
    Some(([1.0, number(5)? / 60.0, number(15)? / 1000.0], late))
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn plus(a: Vector, b: Vector) -> Vector {
    std::array::from_fn(|axis| a[axis] + b[axis])
}

//! K-means: clusters the airports of the United States into eight groups by location.
//!
//! ```text
//! cargo run --release --example k_means                the airports in examples/data
//! ```
//!
//! Airports are points on the unit sphere, so that neither the date line nor the poles are special.
//! Iterates until the centers no longer move. Prints the center and size of each group, and then
//! one line `rounds=N cost=C`, where the cost is the sum of squared distances to the nearest
//! center.
//!
//! One group is three airports with wrong coordinates in the file, which is what clustering finds.
//! The points are cached; each iteration reads them by reference (`refs`) and shares its centers
//! with all tasks (`with`).

use emberline::prelude::*;

pub const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/airports.csv");
pub const GROUPS: usize = 8;
const MAX_ROUNDS: usize = 100;

pub type Point = [f64; 3];

fn main() -> Result<(), BoxError> {
    let found = k_means(&Context::local()?, AIRPORTS, GROUPS)?;
    for (center, size) in found.centers.iter().zip(&found.sizes) {
        let (latitude, longitude) = degrees(center);
        println!("{size:>5} airports around {latitude:>8.3} {longitude:>8.3}");
    }
    println!("rounds={} cost={:.6}", found.rounds, found.cost);
    Ok(())
}

/// The groups: centers, sizes in the same order, number of iterations, and cost.
pub struct Groups {
    pub centers: Vec<Point>,
    pub sizes: Vec<u64>,
    pub rounds: usize,
    pub cost: f64,
}

pub fn k_means(ctx: &Context, path: &str, groups: usize) -> emberline::Result<Groups> {
    let lines = ctx.text_file(path).filter(|line| !line.starts_with("faa,")); // the header
    let points = lines.try_map(|line| airport(&line)).cache();
    let mut centers = points.take(groups)?;
    let mut rounds = 0;
    loop {
        let near = points.refs().with(centers.clone()).map(|centers, point| {
            let (group, cost) = nearest(centers, point);
            (group, (*point, 1_u64, cost))
        });
        let sums = near.reduce_by_key(|a, b| (plus(a.0, b.0), a.1 + b.1, a.2 + b.2)).collect()?;
        // Each center moves to the mean of its points; a center without points stays.
        let mut moved = centers.clone();
        let mut sizes = vec![0; groups];
        let mut cost = 0.0;
        for (group, (sum, size, costs)) in sums {
            moved[group] = sum.map(|x| x / size as f64);
            sizes[group] = size;
            cost += costs;
        }
        rounds += 1;
        if moved == centers || rounds == MAX_ROUNDS {
            return Ok(Groups { centers, sizes, rounds, cost });
        }
        centers = moved;
    }
}

/// Returns the index of the nearest center, the first of equals, and its squared distance.
fn nearest(centers: &[Point], point: &Point) -> (usize, f64) {
    let squared =
        |center: &Point| -> f64 { center.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum() };
    let distances = centers.iter().map(squared).enumerate();
    distances.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

fn plus(a: Point, b: Point) -> Point {
    std::array::from_fn(|axis| a[axis] + b[axis])
}

/// Parses an airport, `faa,name,lat,lon,...`, as a point. No field contains a comma.
fn airport(line: &str) -> Result<Point, BoxError> {
    let row: Vec<&str> = line.split(',').collect();
    let [_, _, latitude, longitude, ..] = row[..] else { return Err("too few fields".into()) };
    let (sin, cos) = latitude.parse::<f64>()?.to_radians().sin_cos();
    let longitude = longitude.parse::<f64>()?.to_radians();
    Ok([cos * longitude.cos(), cos * longitude.sin(), sin])
}

/// Returns the latitude and longitude of a point.
fn degrees([x, y, z]: &Point) -> (f64, f64) {
    (z.atan2(x.hypot(*y)).to_degrees(), y.atan2(*x).to_degrees())
}

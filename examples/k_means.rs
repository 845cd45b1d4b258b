//! K-means: the airports of the United States in eight groups by where they lie.
//!
//! ```text
//! cargo run --release --example k_means                the airports that come with the source
//! ```
//!
//! Airports are points on the unit sphere, so that neither the date line nor the poles are special.
//! Rounds go on until the centres stand still. Prints each group's centre and size and then
//! one line `rounds=N cost=C`, the cost being the sum of squared distances to the nearest centre.
//!
//! One group is three airports whose coordinates the file has wrong: clusters find such things.
//! The points are read once and cached; every round reads them in place, with `.refs`, and hands its
//! centres to the tasks with `.with`.

use emberline::prelude::*;

pub const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/airports.csv");
pub const GROUPS: usize = 8;
const MAX_ROUNDS: usize = 100;

pub type Point = [f64; 3];

fn main() -> Result<(), BoxError> {
    let found = k_means(&Context::local()?, AIRPORTS, GROUPS)?;
    for (centre, size) in found.centres.iter().zip(&found.sizes) {
        let (latitude, longitude) = degrees(centre);
        println!("{size:>5} airports around {latitude:>8.3} {longitude:>8.3}");
    }
    println!("rounds={} cost={:.6}", found.rounds, found.cost);
    Ok(())
}

/// The groups: their centres and sizes in one order, and how good they are.
pub struct Groups {
    pub centres: Vec<Point>,
    pub sizes: Vec<u64>,
    pub rounds: usize,
    pub cost: f64,
}

pub fn k_means(ctx: &Context, path: &str, groups: usize) -> emberline::Result<Groups> {
    let lines = ctx.text_file(path).filter(|line| !line.starts_with("faa,")); // the header
    let points = lines.try_map(|line| airport(&line)).cache();
    let (mut centres, mut rounds) = (points.take(groups)?, 0);
    loop {
        let near = points.refs().with(centres.clone()).map(|centres, point| {
            let (group, cost) = nearest(centres, point);
            (group, (*point, 1_u64, cost))
        });
        let sums = near.reduce_by_key(|a, b| (plus(a.0, b.0), a.1 + b.1, a.2 + b.2)).collect()?;
        // Each centre goes to the middle of its points; one that has none stays where it is.
        let (mut moved, mut sizes, mut cost) = (centres.clone(), vec![0; groups], 0.0);
        for (group, (sum, size, costs)) in sums {
            (moved[group], sizes[group]) = (sum.map(|x| x / size as f64), size);
            cost += costs;
        }
        rounds += 1;
        if moved == centres || rounds == MAX_ROUNDS {
            return Ok(Groups { centres, sizes, rounds, cost });
        }
        centres = moved;
    }
}

/// Which centre is nearest, the first of equals, and its squared distance.
fn nearest(centres: &[Point], point: &Point) -> (usize, f64) {
    let squared =
        |centre: &Point| -> f64 { centre.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum() };
    let distances = centres.iter().map(squared).enumerate();
    distances.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

fn plus(a: Point, b: Point) -> Point {
    std::array::from_fn(|axis| a[axis] + b[axis])
}

/// An airport as a point: `faa,name,lat,lon,...`, and no field holds a comma.
fn airport(line: &str) -> Result<Point, BoxError> {
    let row: Vec<&str> = line.split(',').collect();
    let [_, _, latitude, longitude, ..] = row[..] else { return Err("too few fields".into()) };
    let (sin, cos) = latitude.parse::<f64>()?.to_radians().sin_cos();
    let longitude = longitude.parse::<f64>()?.to_radians();
    Ok([cos * longitude.cos(), cos * longitude.sin(), sin])
}

/// The latitude and longitude below a point.
fn degrees([x, y, z]: &Point) -> (f64, f64) {
    (z.atan2(x.hypot(*y)).to_degrees(), y.atan2(*x).to_degrees())
}

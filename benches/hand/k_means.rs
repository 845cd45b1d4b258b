//! Rounds of k-means over points in one vector, with sums per chunk.

use crate::support::close::Close;
use crate::support::generate::{CENTRES, DIMENSIONS, Point, point};
use rayon::prelude::*;

/// The number of points nearest to each center in the last round, and the sum of the coordinates of all
/// centers after it.
pub type Clusters = ([u64; CENTRES], Close);

/// The sum of the points near a centre, and their number.
pub type Near = (Point, u64);

pub const ROUNDS: usize = 10;

pub fn points(rows: u64) -> Vec<Point> {
    (0..rows).into_par_iter().map(point).collect()
}

pub fn first_centres() -> Vec<Point> {
    (0..CENTRES as u64).map(point).collect()
}

pub fn k_means(points: &[Point], rounds: usize) -> Clusters {
    let mut centres = first_centres();
    let mut counts = [0; CENTRES];
    for _ in 0..rounds {
        let near = points.par_chunks(1 << 16).map(|chunk| sums(chunk, &centres));
        let near =
            near.reduce(none, |a, b| std::array::from_fn(|centre| plus(a[centre], b[centre])));
        counts = move_centres(&mut centres, near.into_iter().enumerate());
    }
    clusters(counts, &centres)
}

fn none() -> [Near; CENTRES] {
    [([0.0; DIMENSIONS], 0); CENTRES]
}

fn sums(points: &[Point], centres: &[Point]) -> [Near; CENTRES] {
    let mut sums = none();
    for point in points {
        add(&mut sums[nearest(centres, point)], point);
    }
    sums
}

#[inline(always)]
pub fn add((sum, count): &mut Near, point: &Point) {
    sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
    *count += 1;
}

/// Returns the index of the nearest center, the first of equals.
#[inline(always)]
pub fn nearest(centres: &[Point], point: &Point) -> usize {
    let mut best = (0, f64::INFINITY);
    for (at, centre) in centres.iter().enumerate() {
        let distance: f64 = (0..DIMENSIONS).map(|axis| (point[axis] - centre[axis]).powi(2)).sum();
        if distance < best.1 {
            best = (at, distance);
        }
    }
    best.0
}

pub fn plus(a: Near, b: Near) -> Near {
    (std::array::from_fn(|axis| a.0[axis] + b.0[axis]), a.1 + b.1)
}

/// Moves each center to the mean of its points, if it has any. Returns the counts.
pub fn move_centres(
    centres: &mut [Point],
    near: impl Iterator<Item = (usize, Near)>,
) -> [u64; CENTRES] {
    let mut counts = [0; CENTRES];
    for (centre, (sum, count)) in near.filter(|(_, near)| near.1 > 0) {
        centres[centre] = sum.map(|x| x / count as f64);
        counts[centre] = count;
    }
    counts
}

pub fn clusters(counts: [u64; CENTRES], centres: &[Point]) -> Clusters {
    (counts, Close(centres.iter().map(|centre| centre.iter().sum::<f64>()).sum()))
}

//! Ten rounds of k-means over cached points in ten dimensions, compared with rounds over a vector
//! (`bench=k_means`, the rounds alone): with sums in each task, or by key (`bench=k_means_by_key`).
//! `bench=k_means_first_round` compares a round that computes and caches the points with a later one.

mod hand;
mod support;

use emberline::prelude::*;
use hand::k_means::{Clusters, ROUNDS, add, clusters, first_centres, move_centres, nearest, plus};
use std::time::Instant;
use support::Options;
use support::generate::{CENTRES, DIMENSIONS, Point, point};

const LAPTOP_POINTS: u64 = 250_000;
const FULL_POINTS: u64 = 1_000_000;
const COUNTS_AT_FULL_SIZE: [u64; CENTRES] =
    [100_596, 99_887, 100_309, 50_269, 100_325, 99_562, 99_844, 199_240, 99_875, 50_093];
const CENTRE_SUM_AT_FULL_SIZE: &str = "4438.880207";

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_POINTS, FULL_POINTS)? {
        let ctx = options.context()?;
        let rows = options.rows;
        if options.both_sides() {
            print_first_round(&ctx, &options)?;
        }

        let points = ctx.range(0..rows).map(point).cache();
        let vector = hand::k_means::points(rows);
        let rounds = || k_means(&points, ROUNDS);
        let by_key = || k_means_by_key(&points, ROUNDS);
        let by_hand = || hand::k_means::k_means(&vector, ROUNDS);
        let (counts, sum) = support::measure("k_means", &options, rounds, by_hand)?;
        support::measure("k_means_by_key", &options, by_key, by_hand)?;
        let text = format!("{:.6}", sum.0);
        let known = (counts, &*text) == (COUNTS_AT_FULL_SIZE, CENTRE_SUM_AT_FULL_SIZE);
        assert!(rows != FULL_POINTS || known, "the generator changed: {counts:?} {text}");
    }
    Ok(())
}

fn k_means(points: &Rdd<Point>, rounds: usize) -> emberline::Result<Clusters> {
    let mut centres = first_centres();
    let mut counts = [0; CENTRES];
    for _ in 0..rounds {
        let near = points.refs().with(centres.clone());
        let near = near.map(|centres, point| (nearest(centres, point), *point));
        let sums = near.aggregate(
            vec![([0.0; DIMENSIONS], 0); CENTRES],
            |mut sums, (centre, point)| {
                add(&mut sums[centre], &point);
                sums
            },
            |a, b| a.into_iter().zip(b).map(|(a, b)| plus(a, b)).collect(),
        )?;
        counts = move_centres(&mut centres, sums.into_iter().enumerate());
    }
    Ok(clusters(counts, &centres))
}

/// Runs k-means as Spark's example does: a shuffle moves each point to its center.
fn k_means_by_key(points: &Rdd<Point>, rounds: usize) -> emberline::Result<Clusters> {
    let mut centres = first_centres();
    let mut counts = [0; CENTRES];
    for _ in 0..rounds {
        let near = points.refs().with(centres.clone());
        let near = near.map(|centres, point| (nearest(centres, point), *point));
        let sums = near.aggregate_by_key(
            ([0.0; DIMENSIONS], 0_u64),
            |mut sum, point| {
                add(&mut sum, &point);
                sum
            },
            plus,
        );
        counts = move_centres(&mut centres, sums.collect()?.into_iter());
    }
    Ok(clusters(counts, &centres))
}

fn print_first_round(ctx: &Context, options: &Options) -> Result<(), BoxError> {
    let round = |points: &Rdd<Point>| -> Result<f64, BoxError> {
        let start = Instant::now();
        k_means(points, 1)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut first = Vec::new();
    let mut cached = Vec::new();
    for _ in 0..options.pairs {
        let points = ctx.range(0..options.rows).map(point).cache();
        first.push(round(&points)?);
        cached.push(round(&points)?);
    }
    let [first, cached] = [first, cached].map(|times| support::median(times.into_iter()));
    println!(
        "bench=k_means_first_round rows={} threads={} first_s={first:.4} cached_s={cached:.4} \
         cached_of_first={:.3}",
        options.rows,
        options.threads,
        cached / first
    );
    Ok(())
}

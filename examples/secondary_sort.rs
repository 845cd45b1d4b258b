//! Secondary sort: groups flights by plane, with the flights of each plane sorted by departure.
//!
//! ```text
//! cargo run --release --example secondary_sort         three days of flights in examples/data
//! ```
//!
//! Prints the five planes with most departures from New York, each with its destinations in order,
//! and then one line `planes=N flights=M`.

use emberline::prelude::*;

pub const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights/flights.csv");

fn main() -> Result<(), BoxError> {
    let routes = routes(&Context::local()?, FLIGHTS).cache();
    for (plane, route) in routes.top_by_key(5, |(plane, route)| (route.len(), plane.clone()))? {
        let stops: Vec<&str> = route.iter().map(|(_, stop)| stop.as_str()).collect();
        println!("{plane:>8}  {}", stops.join(" "));
    }
    let flights = routes.map(|(_, route)| route.len()).fold(0, |a, b| a + b)?;
    println!("planes={} flights={flights}", routes.count()?);
    Ok(())
}

/// The departure of a flight (day and time, as one number) and its destination.
pub type Leg = (u32, String);

/// Returns the legs of each plane, in the order of departure.
pub fn routes(ctx: &Context, path: &str) -> Rdd<(String, Vec<Leg>)> {
    ctx.text_file(path)
        .filter(|line| !line.starts_with("year,"))
        .try_map(|line| {
            let row: Vec<&str> = line.split(',').collect();
            let Ok(left) = row[3].parse::<u32>() else { return Ok(None) }; // NA: cancelled
            let when = row[2].parse::<u32>()? * 10_000 + left;
            Ok(Some((row[11].to_string(), (when, row[13].to_string()))))
        })
        .filter_map(|leg| leg)
        .group_sorted_by_key(|(when, _)| *when)
}

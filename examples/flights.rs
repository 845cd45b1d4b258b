//! Joins flights from New York with their planes and with the weather: delays and windy departures
//! by manufacturer.
//!
//! ```text
//! cargo run --release --example flights                the first three days of 2013, in examples/data
//! cargo run --release --example flights FOLDER         flights.csv, planes.csv and weather.csv in FOLDER
//! ```
//!
//! Prints the five manufacturers with most flights, and then one line
//! `makers=N flights=M delay=D windy=W`: the total delay on arrival in minutes, and the number of
//! flights in a wind of at least 15 miles per hour.

use emberline::prelude::*;

pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights");

fn main() -> Result<(), BoxError> {
    let folder = std::env::args().nth(1).unwrap_or(FOLDER.to_string());
    let makers = makers(&Context::local()?, &folder).cache();
    for (maker, sums) in makers.top_by_key(5, |(maker, sums)| (sums.flights, maker.clone()))? {
        println!("{:>6} flights  {:>7} minutes late  {maker}", sums.flights, sums.delay);
    }
    let all = makers.map(|(_, sums)| sums).fold(Sums::default(), Sums::plus)?;
    let Sums { flights, delay, windy } = all;
    println!("makers={} flights={flights} delay={delay} windy={windy}", makers.count()?);
    Ok(())
}

/// The sums of one manufacturer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sums {
    pub flights: u64,
    pub delay: i64,
    pub windy: u64,
}

impl Sums {
    fn plus(self, other: Sums) -> Sums {
        Sums {
            flights: self.flights + other.flights,
            delay: self.delay + other.delay,
            windy: self.windy + other.windy,
        }
    }
}

/// An airport and an hour: year, month, day, hour.
type Hour = (String, [u32; 4]);

/// Sums the flights that arrived by the manufacturer of their plane, if plane and weather are
/// known.
pub fn makers(ctx: &Context, folder: &str) -> Rdd<(String, Sums)> {
    // tail number -> (airport and hour, minutes late)
    let flights = rows(ctx, folder, "flights.csv", "year,").try_map(|row| {
        let Ok(late) = row[8].parse::<i64>() else { return Ok(None) }; // NA: it did not arrive
        let hour = [row[0].parse()?, row[1].parse()?, row[2].parse()?, row[16].parse()?];
        Ok(Some((row[11].clone(), ((row[12].clone(), hour), late))))
    });
    let planes =
        rows(ctx, folder, "planes.csv", "tailnum,").map(|row| (row[0].clone(), row[3].clone()));
    let winds = rows(ctx, folder, "weather.csv", "origin,").try_map(|row| {
        let Ok(wind) = row[9].parse::<f64>() else { return Ok(None) };
        let hour = [row[1].parse()?, row[2].parse()?, row[3].parse()?, row[4].parse()?];
        let hour: Hour = (row[0].clone(), hour);
        Ok(Some((hour, wind)))
    });
    flights
        .filter_map(|flight| flight)
        .join(&planes)
        .map(|(_, ((hour, late), maker))| (hour, (maker, late)))
        .join(&winds.filter_map(|wind| wind))
        .map(|(_, ((maker, delay), wind))| {
            (maker, Sums { flights: 1, delay, windy: u64::from(wind >= 15.0) })
        })
        .reduce_by_key(Sums::plus)
}

/// Reads the rows of a CSV file without quotes. Lines that start with `first` are the header.
fn rows(ctx: &Context, folder: &str, file: &str, first: &'static str) -> Rdd<Vec<String>> {
    ctx.text_file(format!("{folder}/{file}"))
        .filter(move |line| !line.starts_with(first))
        .map(|line| line.split(',').map(String::from).collect())
        .boxed()
}

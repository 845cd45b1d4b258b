//! Flights in CSV files, joined with their planes and the weather of their hour and summed by the
//! manufacturer of the plane, compared with a hand-written program that looks both up in hash maps.
//! `bench=flights` uses `join`, which shuffles all flights twice; `bench=flights_broadcast` is the same chain
//! with `broadcast_join`, for a program that knows that planes and weather are small.

mod hand;
mod support;

use emberline::prelude::*;
use hand::flights::{Makers, plus};
use hand::text::fields;
use support::Options;
use support::files::Flights as Files;
use support::word::Word;

const LAPTOP_FLIGHTS: u64 = 336_776;
const FULL_FLIGHTS: u64 = 3_367_760;
/// Manufacturers, flights, minutes of delay, flights into the wind.
const SUMS_AT_FULL_SIZE: (usize, u64, i64, u64) = (19, 2_743_685, 26_136_078, 475_462);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_FLIGHTS, FULL_FLIGHTS)? {
        let ctx = options.context()?;
        let files = support::files::flights(options.rows)?;
        let by_hand = || hand::flights::flights(&files);

        let shuffled = || flights(&ctx, &files, Join::Shuffled);
        check(&options, support::measure("flights", &options, shuffled, by_hand)?);
        let broadcast = || flights(&ctx, &files, Join::Broadcast);
        check(&options, support::measure("flights_broadcast", &options, broadcast, by_hand)?);
    }
    Ok(())
}

fn check(options: &Options, makers: Makers) {
    let all = makers.iter().fold((0, 0, 0), |all, (_, sums)| plus(all, *sums));
    let known = (makers.len(), all.0, all.1, all.2) == SUMS_AT_FULL_SIZE;
    assert!(options.rows != FULL_FLIGHTS || known, "the generator changed: {makers:?}");
}

/// An airport, and year, month, day, hour.
type Hour = (Word, [u16; 4]);

/// The kind of join with planes and weather.
#[derive(Clone, Copy)]
enum Join {
    Shuffled,
    Broadcast,
}

fn flights(ctx: &Context, files: &Files, join: Join) -> emberline::Result<Makers> {
    // The header has no minutes and no wind, and is dropped with the rows that have none.
    let flights = ctx.text_file(&files.flights).filter_map(|line| {
        let row = fields(&line);
        let late: i64 = row[8].parse().ok()?;
        let hour = hour(row[12], [row[0], row[1], row[2], row[16]])?;
        Some((Word::new(row[11]), (hour, late)))
    });
    let planes = ctx.text_file(&files.planes).map(|line| {
        let row = fields(&line);
        (Word::new(row[0]), Word::new(row[3]))
    });
    let winds = ctx.text_file(&files.weather).filter_map(|line| {
        let row = fields(&line);
        let wind: f64 = row[9].parse().ok()?;
        Some((hour(row[0], [row[1], row[2], row[3], row[4]])?, wind))
    });
    let by_hour = |(_, ((hour, late), maker)): (Word, ((Hour, i64), Word))| (hour, (maker, late));
    let by_maker = |(_, ((maker, late), wind)): (Hour, ((Word, i64), f64))| {
        (maker, (1_u64, late, u64::from(wind >= 15.0)))
    };
    let sums = match join {
        Join::Shuffled => {
            let rows = flights.join(&planes).map(by_hour).join(&winds).map(by_maker);
            rows.reduce_by_key(plus).collect()?
        }
        Join::Broadcast => {
            let rows = flights.broadcast_join(&planes).map(by_hour);
            rows.broadcast_join(&winds).map(by_maker).reduce_by_key(plus).collect()?
        }
    };
    let text = |maker: Word| String::from_utf8_lossy(maker.as_bytes()).into_owned();
    let mut makers: Makers = sums.into_iter().map(|(maker, sums)| (text(maker), sums)).collect();
    makers.sort();
    Ok(makers)
}

fn hour(airport: &str, time: [&str; 4]) -> Option<Hour> {
    let [year, month, day, hour] = time.map(|field| field.parse().ok());
    Some((Word::new(airport), [year?, month?, day?, hour?]))
}

//! Flights in CSV joined with their planes and with the weather of their hour, summed by the maker of
//! the plane, beside a program by hand that looks both up in hash maps while it reads the file.

mod hand;
mod support;

use emberline::prelude::*;
use hand::flights::{Makers, plus};
use support::Options;
use support::files::Flights;
use support::word::Word;

const LAPTOP_FLIGHTS: u64 = 336_776;
const FULL_FLIGHTS: u64 = 3_367_760;
/// Makers, flights, minutes late, flights into the wind.
const SUMS_AT_FULL_SIZE: (usize, u64, i64, u64) = (19, 2_743_685, 26_136_078, 475_462);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_FLIGHTS, FULL_FLIGHTS)? {
        let (ctx, files) = (options.context()?, support::files::flights(options.rows)?);
        let by_hand = || hand::flights::flights(&files);

        let makers = support::measure("flights", &options, || flights(&ctx, &files), by_hand)?;
        let all = makers.iter().fold((0, 0, 0), |all, (_, sums)| plus(all, *sums));
        let known = (makers.len(), all.0, all.1, all.2) == SUMS_AT_FULL_SIZE;
        assert!(options.rows != FULL_FLIGHTS || known, "the generator changed: {makers:?}");
    }
    Ok(())
}

/// An airport, and year, month, day, hour.
type Hour = (Word, [u16; 4]);

fn flights(ctx: &Context, files: &Flights) -> emberline::Result<Makers> {
    // The header has no minutes and no wind, and goes with the rows that have none.
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
    let by_hour = flights.join(&planes).map(|(_, ((hour, late), maker))| (hour, (maker, late)));
    let sums = by_hour
        .join(&winds)
        .map(|(_, ((maker, late), wind))| (maker, (1_u64, late, u64::from(wind >= 15.0))));
    let sums = sums.reduce_by_key(plus).collect()?;
    let text = |maker: Word| String::from_utf8_lossy(maker.as_bytes()).into_owned();
    let mut makers: Makers = sums.into_iter().map(|(maker, sums)| (text(maker), sums)).collect();
    makers.sort();
    Ok(makers)
}

fn fields(line: &str) -> [&str; 19] {
    let mut row = [""; 19];
    line.split(',').zip(&mut row).for_each(|(field, place)| *place = field);
    row
}

fn hour(airport: &str, time: [&str; 4]) -> Option<Hour> {
    let [year, month, day, hour] = time.map(|field| field.parse().ok());
    Some((Word::new(airport), [year?, month?, day?, hour?]))
}

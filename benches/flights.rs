//! Flights in CSV joined with their planes and with the weather of their hour, summed by the maker of
//! the plane, beside a program by hand that looks both up in hash maps while it reads the file.
//! `bench=flights` joins with `join`, which shuffles all flights twice; `bench=flights_with` hands the
//! two small tables to every task, as one does who knows that they are small.

mod hand;
mod support;

use emberline::prelude::*;
use hand::flights::{Makers, plus};
use hand::text::fields;
use support::Options;
use support::files::Flights as Files;
use support::word::Word;

type Table<K, V> = std::collections::HashMap<K, V, foldhash::fast::FixedState>;

const LAPTOP_FLIGHTS: u64 = 336_776;
const FULL_FLIGHTS: u64 = 3_367_760;
/// Makers, flights, minutes late, flights into the wind.
const SUMS_AT_FULL_SIZE: (usize, u64, i64, u64) = (19, 2_743_685, 26_136_078, 475_462);

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_FLIGHTS, FULL_FLIGHTS)? {
        let (ctx, files) = (options.context()?, support::files::flights(options.rows)?);
        let by_hand = || hand::flights::flights(&files);

        let joined = || flights(&ctx, &files, Tables::Joined);
        check(&options, support::measure("flights", &options, joined, by_hand)?);
        let with_tables = || flights(&ctx, &files, Tables::Given);
        check(&options, support::measure("flights_with", &options, with_tables, by_hand)?);
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

/// How the planes and the weather come to the flights.
#[derive(Clone, Copy)]
enum Tables {
    Joined,
    Given,
}

fn flights(ctx: &Context, files: &Files, tables: Tables) -> emberline::Result<Makers> {
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
    let sums_of = |late, wind| (1_u64, late, u64::from(wind >= 15.0));
    let sums = match tables {
        Tables::Joined => {
            let by_plane = flights.join(&planes);
            let by_hour = by_plane.map(|(_, ((hour, late), maker))| (hour, (maker, late)));
            let sums = by_hour.join(&winds);
            let sums = sums.map(move |(_, ((maker, late), wind))| (maker, sums_of(late, wind)));
            sums.reduce_by_key(plus).collect()?
        }
        Tables::Given => {
            let planes: Table<Word, Word> = planes.collect()?.into_iter().collect();
            let mut by_hour: Table<Hour, Vec<f64>> = Table::default();
            for (hour, wind) in winds.collect()? {
                by_hour.entry(hour).or_default().push(wind);
            }
            let sums = flights.flat_map_into(move |(plane, (hour, late)), out| {
                let Some(maker) = planes.get(&plane) else { return };
                for wind in by_hour.get(&hour).into_iter().flatten() {
                    out.push((maker.clone(), sums_of(late, *wind)));
                }
            });
            sums.reduce_by_key(plus).collect()?
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

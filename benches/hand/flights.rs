//! Flights joined with planes and weather: the two small tables are hash maps of slices, the large
//! file is read block by block, and the fields of a line are slices of the block.

use super::text::{fields, map_blocks};
use crate::support::files::Flights;
use foldhash::fast::FixedState;
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs;

type Table<K, V> = HashMap<K, V, FixedState>;

/// For each manufacturer, by name: flights, minutes of delay, and flights with a wind of 15 miles per hour or more.
pub type Makers = Vec<(String, Sums)>;

pub type Sums = (u64, i64, u64);

pub fn plus(a: Sums, b: Sums) -> Sums {
    (a.0 + b.0, a.1 + b.1, a.2 + b.2)
}

/// An airport, and year, month, day, hour.
type Hour<'a> = (&'a str, [u16; 4]);

pub fn flights(files: &Flights) -> Makers {
    let text = |path| fs::read_to_string(path).expect("the table is there");
    let planes = text(&files.planes);
    let weather = text(&files.weather);
    let planes = planes_of(&planes);
    let winds = winds_of(&weather);
    let blocks = map_blocks(&files.flights, |block| block_sums(block, &planes, &winds));
    let sums = blocks.reduce(Table::default, |mut all, sums| {
        sums.into_iter().for_each(|(maker, sums)| add(&mut all, maker, sums));
        all
    });
    let mut makers: Makers =
        sums.into_iter().map(|(maker, sums)| (maker.to_string(), sums)).collect();
    makers.sort();
    makers
}

fn planes_of(text: &str) -> Table<&str, &str> {
    let rows = text.lines().skip(1).map(|line| {
        let mut fields = line.split(',');
        (fields.next().unwrap_or_default(), fields.nth(2).unwrap_or_default())
    });
    rows.collect()
}

fn winds_of(text: &str) -> Table<Hour<'_>, Vec<f64>> {
    let mut winds: Table<Hour<'_>, Vec<f64>> = Table::default();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if let Ok(wind) = fields[9].parse() {
            let hour = [fields[1], fields[2], fields[3], fields[4]].map(number);
            winds.entry((fields[0], hour)).or_default().push(wind);
        }
    }
    winds
}

fn number(field: &str) -> u16 {
    field.parse().expect("dates are numbers")
}

fn block_sums<'a>(
    block: &[u8],
    planes: &Table<&str, &'a str>,
    winds: &Table<Hour<'_>, Vec<f64>>,
) -> Table<&'a str, Sums> {
    let mut sums = Table::default();
    for line in std::str::from_utf8(block).expect("the file is text").lines() {
        let row = fields(line);
        let Ok(late) = row[8].parse::<i64>() else { continue }; // NA: it did not arrive; or the header
        let Some(maker) = planes.get(row[11]) else { continue };
        let hour = [row[0], row[1], row[2], row[16]].map(number);
        for wind in winds.get(&(row[12], hour)).into_iter().flatten() {
            add(&mut sums, maker, (1, late, u64::from(*wind >= 15.0)));
        }
    }
    sums
}

fn add<'a>(all: &mut Table<&'a str, Sums>, maker: &'a str, sums: Sums) {
    let entry = all.entry(maker).or_default();
    *entry = plus(*entry, sums);
}

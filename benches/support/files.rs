//! The input files of the benches that read text. They are written once, into
//! `target/bench-data/`, the same on every machine.

use super::generate::{random, word_at};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The words of a line of the text, 89 bytes on average.
const WORDS_OF_LINE: u64 = 12;

/// Returns a text with a number of lines and a million distinct words. The frequency of a word is about
/// 1 / rank, as in a language.
pub fn text(lines: u64) -> io::Result<PathBuf> {
    let write = |file: &mut dyn Write| {
        let mut line = Vec::new();
        for number in 0..lines {
            line.clear();
            for at in 0..WORDS_OF_LINE {
                word_at(random(8, number * WORDS_OF_LINE + at), &mut line);
                line.push(if at + 1 == WORDS_OF_LINE { b'\n' } else { b' ' });
            }
            file.write_all(&line)?;
        }
        Ok(())
    };
    made(&format!("text-{lines}.txt"), write)
}

/// Flights of a year, with the planes and the weather of each hour.
pub struct Flights {
    pub flights: PathBuf,
    pub planes: PathBuf,
    pub weather: PathBuf,
}

/// Returns flights made of the examples' three days of departures from New York: repeated to fill a year, and that
/// year repeated until there are `rows` flights. The weather fills one year.
pub fn flights(rows: u64) -> io::Result<Flights> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/flights");
    let flights = Days::read(&source.join("flights.csv"), 1)?;
    let weather = Days::read(&source.join("weather.csv"), 2)?;
    Ok(Flights {
        flights: made(&format!("flights-{rows}.csv"), |file| flights.repeat(rows, file))?,
        planes: source.join("planes.csv"),
        weather: made("weather.csv", |file| weather.repeat(weather.rows_of_a_year(), file))?,
    })
}

/// Three days of a table: the columns of each row before the month and after the day.
struct Days {
    header: String,
    days: [Vec<(String, String)>; 3],
}

const DAYS_OF_MONTH: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Days {
    /// Reads a file whose month is in column `month_column` and whose day is in the next.
    fn read(path: &Path, month_column: usize) -> io::Result<Days> {
        let text = fs::read_to_string(path)?;
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().to_string();
        let mut days = [const { Vec::new() }; 3];
        for line in lines {
            let columns: Vec<&str> = line.split(',').collect();
            let day: usize = columns[month_column + 1].parse().map_err(io::Error::other)?;
            let row = (columns[..month_column].join(","), columns[month_column + 2..].join(","));
            days[day - 1].push(row);
        }
        Ok(Days { header, days })
    }

    fn rows_of_a_year(&self) -> u64 {
        (0..365).map(|day| self.days[day % 3].len() as u64).sum()
    }

    fn repeat(&self, mut rows: u64, file: &mut dyn Write) -> io::Result<()> {
        writeln!(file, "{}", self.header)?;
        let dates = (1..)
            .zip(DAYS_OF_MONTH)
            .flat_map(|(month, days)| (1..=days).map(move |day| (month, day)));
        for (at, (month, day)) in dates.enumerate().cycle() {
            for (before, after) in &self.days[at % 3] {
                if rows == 0 {
                    return Ok(());
                }
                writeln!(file, "{before},{month},{day},{after}")?;
                rows -= 1;
            }
        }
        Ok(())
    }
}

/// Returns the path of a file, which is written first if it does not exist. An incomplete file has another name.
fn made(name: &str, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-data");
    let path = folder.join(name);
    if !path.exists() {
        fs::create_dir_all(&folder)?;
        let unfinished = path.with_extension("unfinished");
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(unfinished, &path)?;
    }
    Ok(path)
}

//! `peer-timely WORKLOAD THREADS RUNS INPUT`: workloads of `benches/` on timely. The input is a text for
//! `word_count`, and the number of rows for the others; each worker generates its part of the rows.

#[path = "../../../support/generate.rs"]
#[allow(dead_code)]
mod generate;
mod operations;

use generate::{aggregate_pair, fnv, left_pair, right_pair};
use operations::{Totals, by_key, joined, plus};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, workload, threads, runs, input] = &args[..] else {
        panic!("usage: peer-timely WORKLOAD THREADS RUNS INPUT")
    };
    let threads = threads.parse().expect("a number of threads");
    let answer = run(workload, threads, input);
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..runs.parse().expect("a number of runs") {
        let start = Instant::now();
        assert_eq!(run(workload, threads, input), answer, "the answer changed between two runs");
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!("s={:.4} answer={}", seconds[seconds.len() / 2], answer);
}

fn run(workload: &str, threads: usize, input: &str) -> String {
    let rows = || input.parse::<u64>().expect("a number of rows");
    let (a, b, c) = match workload {
        "word_count" => word_count(input.to_string(), threads),
        "aggregate" => aggregate(rows(), threads),
        "distinct" => {
            let (keys, sum, _) = distinct(rows(), threads);
            return format!("{keys},{sum}");
        }
        "join" => {
            let (matches, sum) = joined(rows(), threads, left_pair, right_pair);
            return format!("{matches},{sum}");
        }
        other => panic!("there is no workload {other}"),
    };
    format!("{a},{b},{c}")
}

/// Returns the distinct words, all words, and the wrapping sum of each word's FNV-1a hash times its count.
fn word_count(path: String, threads: usize) -> Totals {
    let words = move |part, parts| {
        lines_of(&path, part, parts).flat_map(|line| {
            let words = line.split(' ').filter(|word| !word.is_empty());
            words.map(|word| (word.to_string(), 1)).collect::<Vec<(String, u64)>>()
        })
    };
    let of_word = |word: &String, n: &u64| (1, *n, fnv(word.as_bytes()).wrapping_mul(*n));
    by_key(threads, words, |all, n| *all += n, of_word)
}

/// Returns the keys, the sum of all values, and the sum of each key times its values.
fn aggregate(rows: u64, threads: usize) -> Totals {
    let pairs = move |part, parts| part_of(rows, part, parts).map(aggregate_pair);
    let of_key = |key: &u32, sum: &u64| (1, *sum, u64::from(*key).wrapping_mul(*sum));
    by_key(threads, pairs, |all, n| *all += n, of_key)
}

fn distinct(rows: u64, threads: usize) -> Totals {
    let keys = move |part, parts| part_of(rows, part, parts).map(|n| (aggregate_pair(n).0, ()));
    by_key(threads, keys, |(), ()| (), |key: &u32, ()| plus((0, 0, 0), (1, u64::from(*key), 0)))
}

pub fn part_of(rows: u64, part: u64, parts: u64) -> Range<u64> {
    rows * part / parts..rows * (part + 1) / parts
}

/// Reads the lines that begin in one of several equal parts of a file.
fn lines_of(path: &str, part: u64, parts: u64) -> impl Iterator<Item = String> + use<> {
    let mut file = File::open(path).expect("the file opens");
    let length = file.metadata().expect("the file is there").len();
    let Range { start: mut at, end } = part_of(length, part, parts);
    let mut skipped = Vec::new();
    if at > 0 {
        at -= 1; // if a line begins at `at`, the line of the previous part ends with this byte
        file.seek(SeekFrom::Start(at)).expect("it is that long");
    }
    let mut reader = BufReader::with_capacity(1 << 20, file);
    if at > 0 {
        at += reader.read_until(b'\n', &mut skipped).expect("it can be read") as u64;
    }
    std::iter::from_fn(move || {
        let mut line = String::new();
        let bytes = if at < end { reader.read_line(&mut line).expect("it is text") } else { 0 };
        at += bytes as u64;
        line.truncate(line.trim_end_matches('\n').len());
        (bytes > 0).then_some(line)
    })
}

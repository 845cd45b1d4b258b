//! `peer-renoir FILE THREADS RUNS`: word count on renoir, counted on each worker and then by hash.

use renoir::prelude::*;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Distinct words, all words, and the wrapping sum of each word's FNV-1a hash times its count.
type Words = (u64, u64, u64);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, threads, runs] = &args[..] else { panic!("usage: peer-renoir FILE THREADS RUNS") };
    let threads = threads.parse().expect("a number of threads");
    let answer = word_count(path, threads);
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..runs.parse().expect("a number of runs") {
        let start = Instant::now();
        assert_eq!(word_count(path, threads), answer, "the answer changed between two runs");
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let (median, (distinct, all, checksum)) = (seconds[seconds.len() / 2], answer);
    println!("s={median:.4} answer={distinct},{all},{checksum}");
}

fn word_count(path: &str, threads: u64) -> Words {
    let context = StreamContext::new(RuntimeConfig::local(threads).expect("threads start"));
    let counts = context
        .stream_file(path)
        .batch_mode(BatchMode::fixed(1024))
        .flat_map(|line: String| {
            // Its lines keep their ends.
            line.trim_end_matches('\n').split(' ').filter(|word| !word.is_empty()).map(String::from).collect::<Vec<_>>()
        })
        .group_by_count(|word: &String| word.clone())
        .collect_vec();
    context.execute_blocking();
    let counts = counts.get().expect("the stream ended");
    counts.iter().fold((0, 0, 0), |sums: Words, (word, count)| {
        let count = *count as u64;
        (sums.0 + 1, sums.1 + count, sums.2.wrapping_add(fnv(word.as_bytes()).wrapping_mul(count)))
    })
}

fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

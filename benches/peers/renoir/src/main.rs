//! `peer-renoir WORKLOAD THREADS RUNS INPUT`: workloads of `benches/` on renoir. The input is a text for
//! `word_count`, and the number of rows for the others, which are generated in the stream.

#[path = "../../../support/generate.rs"]
#[allow(dead_code)]
mod generate;

use generate::{aggregate_pair, fnv, left_pair, right_pair};
use renoir::prelude::*;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Totals = (u64, u64, u64);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, workload, threads, runs, input] = &args[..] else {
        panic!("usage: peer-renoir WORKLOAD THREADS RUNS INPUT")
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

fn run(workload: &str, threads: u64, input: &str) -> String {
    let context = StreamContext::new(RuntimeConfig::local(threads).expect("threads start"));
    let rows = || 0..input.parse::<u64>().expect("a number of rows");
    let totals = match workload {
        // Distinct words, all words, and the wrapping sum of each word's FNV-1a hash times its count.
        "word_count" => context
            .stream_file(input)
            .batch_mode(BatchMode::fixed(1024))
            .flat_map(|line: String| {
                // Its lines include their line ends.
                let words = line.trim_end_matches('\n').split(' ').filter(|word| !word.is_empty());
                words.map(String::from).collect::<Vec<_>>()
            })
            .group_by_count(|word: &String| word.clone())
            .map(|(word, n)| (1, n as u64, fnv(word.as_bytes()).wrapping_mul(n as u64)))
            .drop_key()
            .fold_assoc((0, 0, 0), add, add)
            .collect_vec(),
        // Keys, the sum of all values, and the sum of each key times its values.
        "aggregate" => context
            .stream_par_iter(rows())
            .batch_mode(BatchMode::fixed(1024))
            .map(aggregate_pair)
            .group_by_sum(|pair| pair.0, |pair| pair.1)
            .map(|(key, sum)| (1, sum, u64::from(*key).wrapping_mul(sum)))
            .drop_key()
            .fold_assoc((0, 0, 0), add, add)
            .collect_vec(),
        "distinct" => context
            .stream_par_iter(rows())
            .batch_mode(BatchMode::fixed(1024))
            .map(|n| aggregate_pair(n).0)
            .group_by_fold(|key| *key, (), |(), _| (), |(), ()| ())
            .map(|(key, ())| (1, u64::from(*key), 0))
            .drop_key()
            .fold_assoc((0, 0, 0), add, add)
            .collect_vec(),
        // Matching pairs, and the sum of the left value and three times the right one.
        "join" => {
            let right = context.stream_par_iter(rows()).batch_mode(BatchMode::fixed(1024));
            let left = context.stream_par_iter(rows()).batch_mode(BatchMode::fixed(1024));
            left.map(left_pair)
                .join(right.map(right_pair), |left| left.0, |right| right.0)
                .map(|(_, (left, right))| (1, left.1 + 3 * right.1, 0))
                .drop_key()
                .fold_assoc((0, 0, 0), add, add)
                .collect_vec()
        }
        other => panic!("there is no workload {other}"),
    };
    context.execute_blocking();
    let (a, b, c) = totals.get().expect("the stream ended")[0];
    format!("{a},{b},{c}")
}

fn add(all: &mut Totals, more: Totals) {
    *all = (all.0 + more.0, all.1.wrapping_add(more.1), all.2.wrapping_add(more.2));
}

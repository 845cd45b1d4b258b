//! `peer-timely FILE THREADS RUNS`: word count on timely. Each worker reads the lines that begin in its
//! part of the file, counts their words in a table, sends the counts by hash, and sums what it gets.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::vec::Map as _;
use timely::dataflow::operators::{Operator, Probe};
use timely::dataflow::{InputHandle, ProbeHandle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Distinct words, all words, and the wrapping sum of each word's FNV-1a hash times its count.
type Words = (u64, u64, u64);
type Counts = HashMap<String, u64, FixedState>;
type Lines = CapacityContainerBuilder<Vec<String>>;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, threads, runs] = &args[..] else { panic!("usage: peer-timely FILE THREADS RUNS") };
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

fn word_count(path: &str, threads: usize) -> Words {
    let words = Arc::new(Mutex::new((0, 0, 0)));
    let (path, sums) = (path.to_string(), Arc::clone(&words));
    let workers = timely::execute(timely::Config::process(threads), move |worker| {
        let mut input = InputHandle::<usize, Lines>::new_with_builder();
        let probe = ProbeHandle::new();
        let sums = Arc::clone(&sums);
        worker.dataflow::<usize, _, _>(|scope| {
            let hasher = FixedState::with_seed(1);
            let by_hash = move |row: &(String, u64)| hasher.hash_one(row.0.as_str()) >> 32;
            input
                .to_stream(scope)
                .flat_map(|line: String| {
                    let words = line.split(' ').filter(|word| !word.is_empty());
                    words.map(|word| (word.to_string(), 1)).collect::<Vec<(String, u64)>>()
                })
                .unary_frontier(Pipeline, "CombineHere", |capability, _| {
                    let (mut end, mut counts) = (Some(capability), Counts::default());
                    move |(input, frontier), output| {
                        input.for_each_stamp(|_, batches| {
                            batches.flat_map(|batch| batch.drain(..)).for_each(|(word, n)| {
                                *counts.entry(word).or_insert(0) += n;
                            });
                        });
                        if let Some(end) = end.take_if(|_| frontier.is_empty()) {
                            let mut session = output.session(&end);
                            counts.drain().for_each(|count| session.give(count));
                        }
                    }
                })
                .unary_frontier(Exchange::new(by_hash), "Sum", |capability, _| {
                    let (mut end, mut counts) = (Some(capability), Counts::default());
                    move |(input, frontier), output| {
                        input.for_each_stamp(|_, batches| {
                            batches.flat_map(|batch| batch.drain(..)).for_each(|(word, n)| {
                                *counts.entry(word).or_insert(0) += n;
                            });
                        });
                        if let Some(end) = end.take_if(|_| frontier.is_empty()) {
                            add(&mut sums.lock().expect("no worker panics"), &counts);
                            output.session(&end).give(());
                        }
                    }
                })
                .container::<Vec<()>>()
                .probe_with(&probe);
        });

        let mut batch = Vec::with_capacity(1024);
        for line in lines_of(&path, worker.index() as u64, worker.peers() as u64) {
            batch.push(line);
            if batch.len() == 1024 {
                input.send_batch(&mut batch);
                batch.clear();
                worker.step();
            }
        }
        input.send_batch(&mut batch);
        input.close();
        while !probe.done() {
            worker.step();
        }
    });
    workers.expect("workers start").join().into_iter().for_each(|end| end.expect("no panic"));
    *words.lock().expect("no worker panics")
}

/// The lines that begin in one of some even parts of a file.
fn lines_of(path: &str, part: u64, parts: u64) -> impl Iterator<Item = String> {
    let mut file = File::open(path).expect("the file opens");
    let length = file.metadata().expect("the file is there").len();
    let (mut at, end) = (length * part / parts, length * (part + 1) / parts);
    let mut skipped = Vec::new();
    if at > 0 {
        at -= 1; // a line that begins right here ends its neighbour's with this byte
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

fn add(sums: &mut Words, counts: &Counts) {
    for (word, count) in counts {
        sums.0 += 1;
        sums.1 += count;
        sums.2 = sums.2.wrapping_add(fnv(word.as_bytes()).wrapping_mul(*count));
    }
}

fn fnv(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

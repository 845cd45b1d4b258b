//! The cost and gain of compression: rows are encoded and written to a file in memory, and read and
//! decoded again, with and without compression. `cargo bench -p emberline-shuffle`.

use emberline_core::bounds::Stored;
use emberline_core::config::{Compression, Config};
use emberline_core::task::TaskContext;
use emberline_shuffle::{FileIndex, FileWriter, FrameReader, OpenFile};
use emberline_shuffle::{Hashed, hash_of};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: u64 = 2_000_000;
const SEGMENTS: usize = 64;
const ROUNDS: usize = 7;

fn main() {
    let words = ["ember", "ash", "coal", "hearth", "kindling", "flame", "smoke", "soot"];
    let word = |n: u64| {
        let hash = hash_of(&n);
        // Few words are frequent and many are rare.
        let rare = hash_of(&(hash % (1 << (hash >> 60))));
        (format!("{}{}", words[rare as usize % 8], rare % 5_000), 1_u64)
    };
    measure("(u64, u64), keys at random", (0..ROWS).map(|n| (hash_of(&n), n)).collect());
    measure("(u64, u64), both at random", (0..ROWS).map(|n| (hash_of(&n), hash_of(&!n))).collect());
    let hashed = |n: u64| Hashed { hash: hash_of(&n), key: n, value: hash_of(&!n) };
    measure("(u64, u64) with its hash", (0..ROWS).map(hashed).collect());
    measure("(u64, u64), small", (0..ROWS).map(|n| (hash_of(&n) % 100_000, 1_u64)).collect());
    measure("(String, u64), words", (0..ROWS).map(word).collect());
}

/// Measures every compression in each round, so that other load on the machine affects all alike,
/// and prints the best round of each.
fn measure<R: Stored>(name: &str, rows: Vec<R>) {
    let segments: Vec<_> = rows.chunks(rows.len() / SEGMENTS).map(<[R]>::to_vec).collect();
    let zstd = cfg!(feature = "zstd").then_some(Compression::Zstd);
    let all: Vec<_> = [Compression::None, Compression::Lz4].into_iter().chain(zstd).collect();
    let mut best = vec![(Duration::MAX, Duration::MAX, 0); all.len()];
    for _ in 0..ROUNDS {
        for (compression, best) in all.iter().zip(&mut best) {
            let (write, read, bytes) = one_round(&segments, *compression);
            *best = (best.0.min(write), best.1.min(read), bytes);
        }
    }
    let ns = |time: Duration| time.as_nanos() as f64 / rows.len() as f64;
    let (write, read, bytes) = best[0];
    println!("{name}: {:.1} bytes a row", bytes as f64 / rows.len() as f64);
    for (compression, found) in all.iter().zip(&best) {
        println!(
            "  {:<5} write {:5.1} ns a row ({:.2}x)  read {:5.1} ({:.2}x)  bytes {:.2}x",
            format!("{compression:?}"),
            ns(found.0),
            ns(found.0) / ns(write),
            ns(found.1),
            ns(found.1) / ns(read),
            found.2 as f64 / bytes as f64,
        );
    }
}

fn one_round<R: Stored>(
    segments: &[Vec<R>],
    compression: Compression,
) -> (Duration, Duration, u64) {
    let memory = std::path::Path::new("/dev/shm");
    let scratch_dir = memory.is_dir().then(|| memory.to_path_buf());
    let scratch_dir = scratch_dir.unwrap_or_else(std::env::temp_dir);
    let config = Config {
        spill_compression: compression,
        scratch_dirs: vec![scratch_dir],
        ..Config::default()
    };
    let task = TaskContext::for_test(config);
    let file = Arc::new(task.scratch.file("bench").expect("a scratch file"));
    let start = Instant::now();
    let index = write(&file, segments, &task.config);
    let written = start.elapsed();
    let start = Instant::now();
    let rows: usize = index
        .segments
        .iter()
        .map(|location| {
            let open = OpenFile::new(file.open().expect("the file"), "bench");
            let mut reader = FrameReader::<R>::new(open, *location);
            let mut rows = 0;
            while let Some(frame) = reader.next_frame().expect("a whole frame") {
                rows += std::hint::black_box(frame).len();
            }
            rows
        })
        .sum();
    let read = start.elapsed();
    assert_eq!(rows, segments.iter().map(Vec::len).sum());
    (written, read, index.file_bytes)
}

fn write<R: Stored>(
    file: &Arc<emberline_core::scratch::ScratchFile>,
    segments: &[Vec<R>],
    config: &Config,
) -> FileIndex {
    let mut writer = FileWriter::create(Arc::clone(file), config).expect("a new file");
    segments.iter().for_each(|rows| writer.write_segment(rows).expect("a written segment"));
    writer.finish().expect("a finished file")
}

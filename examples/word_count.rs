//! Word count: the words of a text with their numbers of occurrences.
//!
//! ```text
//! cargo run --release --example word_count             a book in examples/data
//! cargo run --release --example word_count PATH...     files, directories or patterns such as *.txt
//! ```
//!
//! A word is a maximal run of ASCII letters or digits, in lower case: `don't` is `don` and `t`.
//! Prints the twenty most frequent words and then one line `distinct=N total=M`.
//!
//! Two environment variables change how it runs, and not the result: `EMBERLINE_THREADS=N` sets the
//! number of threads (default: every core), and `EMBERLINE_SHUFFLE=files` writes all map outputs to
//! files.

use emberline::prelude::*;

pub const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/devils_dictionary.txt");

fn main() -> Result<(), BoxError> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push(BOOK.to_string());
    }
    println!("The twenty most frequent words of {}:", paths.join(", "));
    let counts = word_count(&context()?, paths).cache(); // the text is read once
    for (word, n) in counts.top_by_key(20, |(_, n)| *n)? {
        println!("{n:>9}  {word}");
    }
    println!("distinct={} total={}", counts.count()?, counts.values().sum::<u64>()?);
    Ok(())
}

pub fn word_count(ctx: &Context, paths: Vec<String>) -> Rdd<(String, u64)> {
    ctx.text_file(paths)
        .flat_map_into(|line, out| words(&line).for_each(|word| out.push((word, 1_u64))))
        .reduce_by_key(|a, b| a + b)
}

fn words(line: &str) -> impl Iterator<Item = String> {
    let pieces = line.split(|c: char| !c.is_ascii_alphanumeric());
    pieces.filter(|piece| !piece.is_empty()).map(str::to_ascii_lowercase)
}

fn context() -> Result<Context, BoxError> {
    let mut builder = Context::builder().app_name("word_count").progress(true);
    if let Ok(threads) = std::env::var("EMBERLINE_THREADS") {
        builder = builder.threads(threads.parse()?);
    }
    let files = std::env::var("EMBERLINE_SHUFFLE").is_ok_and(|way| way == "files");
    Ok(builder.force_spill(files).build()?)
}

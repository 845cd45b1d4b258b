//! Builds an inverted index: the lines of a text in which each word occurs.
//!
//! ```text
//! cargo run --release --example inverted_index         a book in examples/data
//! cargo run --release --example inverted_index WORD... the lines of these words
//! ```
//!
//! A word is a maximal run of ASCII letters or digits, in lower case; lines count from 1. Prints
//! the lines of each given word, and then one line `words=N postings=M`.

use emberline::prelude::*;
use std::collections::BTreeSet;

pub const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/devils_dictionary.txt");

fn main() -> Result<(), BoxError> {
    let mut asked: Vec<String> = std::env::args().skip(1).collect();
    if asked.is_empty() {
        asked = ["brandy", "heaven", "spark"].map(String::from).into();
    }
    let lines: Vec<String> = std::fs::read_to_string(BOOK)?.lines().map(String::from).collect();
    let index = inverted_index(&Context::local()?, lines).cache();
    for word in &asked {
        let wanted = word.clone();
        let found = index.filter(move |(word, _)| *word == wanted).first()?;
        println!("{word:>12}  {:?}", found.map_or(vec![], |(_, lines)| lines));
    }
    let postings = index.map(|(_, lines)| lines.len()).fold(0, |a, b| a + b)?;
    println!("words={} postings={postings}", index.count()?);
    Ok(())
}

/// Returns each word with the numbers of its lines, ascending.
pub fn inverted_index(ctx: &Context, lines: Vec<String>) -> Rdd<(String, Vec<u32>)> {
    ctx.parallelize((1..).zip(lines).collect::<Vec<(u32, String)>>())
        .flat_map(|(number, line)| words(&line).into_iter().map(move |word| (word, number)))
        .group_by_key()
}

/// Returns the distinct words of a line.
fn words(line: &str) -> BTreeSet<String> {
    let pieces = line.split(|c: char| !c.is_ascii_alphanumeric());
    pieces.filter(|piece| !piece.is_empty()).map(str::to_ascii_lowercase).collect()
}

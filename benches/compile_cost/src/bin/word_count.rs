//! Word count, the program of the README: four operations, one of which shuffles.

use emberline::prelude::*;

fn words(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

fn main() -> emberline::Result<()> {
    let ctx = Context::local()?;
    let counts = ctx
        .text_file("corpus/*.txt")
        .flat_map(|line| words(&line))
        .map(|word| (word, 1_u64))
        .reduce_by_key(|a, b| a + b);
    for (word, n) in counts.top_by_key(20, |(_, n)| *n)? {
        println!("{n:>9}  {word}");
    }
    Ok(())
}

//! The program `second_row_type` without its second `reduce_by_key`.

use emberline::prelude::*;

fn words(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

fn main() -> emberline::Result<()> {
    let ctx = Context::local()?;
    let words = ctx.text_file("corpus/*.txt").flat_map(|line| words(&line));
    let counts = words.map(|word| (word, 1_u64)).reduce_by_key(|a, b| a + b);
    for (word, n) in counts.top_by_key(20, |(_, n)| *n)? {
        println!("{n:>9}  {word}");
    }
    let lengths = words.map(|word| (word.len() as u32, 1.0_f64));
    println!("{}", lengths.count()?);
    Ok(())
}

//! Counts the words of a text: with `String` keys and the usual operations (`bench=word_count`, compared with
//! slices of the text in a table), and with words that are stored inline in their rows
//! (`bench=word_count_inline`, compared with words that are stored inline in the table).
//!
//! Both sides use the allocator mimalloc: 54.6 million strings are made and dropped, and glibc's allocator
//! caches no more than seven blocks per size and thread. Other engines bring their own allocator too.
//!
//! `-- --text PATH` counts your own file instead of the generated text in `target/bench-data/`; `--rows` is
//! the number of lines of the generated text.

mod hand;
mod support;

use emberline::prelude::*;
use hand::word_count::{Words, plus};
use std::path::{Path, PathBuf};
use support::Options;
use support::generate::fnv;
use support::word::Word;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LAPTOP_LINES: u64 = 450_000;
/// 400 MB.
const FULL_LINES: u64 = 4_550_000;
const WORDS_AT_FULL_SIZE: Words = (1_045_559, 54_600_000, 6_955_165_636_471_472_339);

fn main() -> Result<(), BoxError> {
    let own_text = support::options::setting("text").map(PathBuf::from);
    for mut options in Options::read(LAPTOP_LINES, FULL_LINES)? {
        let is_full = own_text.is_none() && options.rows == FULL_LINES;
        let path = match &own_text {
            Some(path) => path.clone(),
            None => support::files::text(options.rows)?,
        };
        if own_text.is_some() {
            options.rows = hand::text::read(&path).split(|byte| *byte == b'\n').count() as u64;
        }
        let ctx = options.context()?;
        let strings = || word_count(&ctx, &path);
        let by_hand = || hand::word_count::word_count(&path);
        let words = support::measure("word_count", &options, strings, by_hand)?;
        assert!(!is_full || words == WORDS_AT_FULL_SIZE, "the generator changed: {words:?}");

        let inline = || word_count_inline(&ctx, &path);
        let by_hand = || hand::word_count_inline::word_count_inline(&path);
        support::measure("word_count_inline", &options, inline, by_hand)?;
    }
    Ok(())
}

fn word_count(ctx: &Context, path: &Path) -> emberline::Result<Words> {
    let words = |line: String| -> Vec<String> {
        line.split(' ').filter(|word| !word.is_empty()).map(String::from).collect()
    };
    let counts = ctx.text_file(path).flat_map(words).map(|word| (word, 1_u64));
    let counts = counts.reduce_by_key(|a, b| a + b);
    let of_word =
        |(word, count): (String, u64)| (1, count, fnv(word.as_bytes()).wrapping_mul(count));
    counts.map(of_word).aggregate((0, 0, 0), plus, plus)
}

fn word_count_inline(ctx: &Context, path: &Path) -> emberline::Result<Words> {
    let words = ctx.text_file(path).flat_map_into(|line: String, out| {
        hand::text::each_word(line.as_bytes(), |start, end| out.push(Word::cut(&line, start, end)));
    });
    let counts = words.map(|word| (word, 1_u64)).reduce_by_key(|a, b| a + b);
    let of_word = |(word, count): (Word, u64)| (1, count, fnv(word.as_bytes()).wrapping_mul(count));
    counts.map(of_word).aggregate((0, 0, 0), plus, plus)
}

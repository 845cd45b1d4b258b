//! Counts the lines of a text and their bytes: the cost of reading, compared with a search for line ends in
//! blocks of the file.

mod hand;
mod support;

use emberline::prelude::*;
use hand::text::{Lines, lines_by_hand, plus};
use std::path::Path;
use support::Options;

const LAPTOP_LINES: u64 = 4_500_000;
const FULL_LINES: u64 = 45_000_000;

fn main() -> Result<(), BoxError> {
    for options in Options::read(LAPTOP_LINES, FULL_LINES)? {
        let ctx = options.context()?;
        let path = support::files::text(options.rows)?;
        support::measure("text", &options, || lines(&ctx, &path), || lines_by_hand(&path))?;
    }
    Ok(())
}

fn lines(ctx: &Context, path: &Path) -> emberline::Result<Lines> {
    let bytes = ctx.text_file(path).map(|line| line.len() as u64);
    bytes.aggregate((0, 0), |lines, bytes| plus(lines, (1, bytes)), plus)
}

//! What went wrong on a web site? The first example of the paper on RDDs (Zaharia et al., NSDI
//! 2012, section 2.2.1): questions to the errors of a log, which are read once and then kept.
//!
//! ```text
//! cargo run --release --example log_mining             a made-up log that comes with the source
//! cargo run --release --example log_mining PATH        tab-separated lines, field 3 the time
//! ```
//!
//! Fields count from 0, as in the paper. Prints the times of the errors that mention HDFS, without
//! lines that break off before their time, and then one line `errors=N mysql=M hdfs=H`.

use emberline::prelude::*;

pub const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/site.log");

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| LOG.to_string());
    let (errors, mysql, times) = log_mining(&Context::local()?, &path)?;
    println!("{}", times.join("\n"));
    println!("errors={errors} mysql={mysql} hdfs={}", times.len());
    Ok(())
}

/// How many errors there are, how many mention MySQL, and the times of those that mention HDFS.
pub fn log_mining(ctx: &Context, path: &str) -> emberline::Result<(u64, u64, Vec<String>)> {
    let errors = ctx.text_file(path).filter(|line| line.starts_with("ERROR")).cache();
    let mysql = errors.refs().filter(|line| line.contains("MySQL"));
    let hdfs = errors.refs().filter(|line| line.contains("HDFS"));
    let times = hdfs.filter_map(|line| line.split('\t').nth(3).map(String::from));
    Ok((errors.count()?, mysql.count()?, times.collect()?)) // the log is read by the first
}

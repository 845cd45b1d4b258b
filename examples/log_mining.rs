//! Log mining, the first example of the RDD paper (Zaharia et al., NSDI 2012, section 2.2.1):
//! several queries on the cached errors of a web site's log.
//!
//! ```text
//! cargo run --release --example log_mining             a generated log in examples/data
//! cargo run --release --example log_mining PATH        tab-separated lines, field 3 the time
//! ```
//!
//! Fields count from 0, as in the paper. Prints the times of the errors that mention HDFS, without
//! lines that end before their time, and then one line `errors=N mysql=M hdfs=H`.

use emberline::prelude::*;

pub const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/site.log");

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).unwrap_or_else(|| LOG.to_string());
    let (errors, mysql, times) = log_mining(&Context::local()?, &path)?;
    println!("{}", times.join("\n"));
    println!("errors={errors} mysql={mysql} hdfs={}", times.len());
    Ok(())
}

/// Returns the number of errors, the number that mention MySQL, and the times of those that mention
/// HDFS.
pub fn log_mining(ctx: &Context, path: &str) -> emberline::Result<(u64, u64, Vec<String>)> {
    let errors = ctx.text_file(path).filter(|line| line.starts_with("ERROR")).cache();
    let mysql = errors.refs().filter(|line| line.contains("MySQL"));
    let hdfs = errors.refs().filter(|line| line.contains("HDFS"));
    let times = hdfs.filter_map(|line| line.split('\t').nth(3).map(String::from));
    Ok((errors.count()?, mysql.count()?, times.collect()?)) // only the first reads the log
}

//! What customers spent: 20 operations, two of which shuffle.

use emberline::prelude::*;

fn main() -> emberline::Result<()> {
    let ctx = Context::local()?;
    let spent = ctx
        .text_file("orders/*.txt")
        .filter(|line| !line.starts_with('#'))
        .map(|line| (number(&line, 0), number(&line, 1), number(&line, 2)))
        .filter(|(_, pieces, _)| *pieces > 0)
        .map(|(customer, pieces, price)| (customer, pieces * price))
        .reduce_by_key(|a, b| a + b);
    let customers = ctx
        .text_file("customers.txt")
        .filter(|line| !line.is_empty())
        .map(|line| (number(&line, 0), line.split(',').skip(1).collect::<String>()));
    let named = spent.join(&customers).map(|(_, (spent, name))| (name, spent));
    let large = named.filter(|(_, spent)| *spent > 100);
    for (name, spent) in large.top_by_key(10, |(_, spent)| *spent)? {
        println!("{spent:>9}  {name}");
    }
    let names = named.keys().filter(|name| !name.is_empty()).map(|name| name.len());
    println!("{} letters", names.sum::<usize>()?);
    println!("{} customers, {:?} at most", spent.count()?, spent.values().max()?);
    println!("{:?}", large.collect()?);
    Ok(())
}

fn number(line: &str, field: usize) -> u64 {
    line.split(',').nth(field).and_then(|field| field.parse().ok()).unwrap_or(0)
}

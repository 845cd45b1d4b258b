//! A row type without serde's derives in a shuffle. Fix: `#[derive(Clone, Serialize, Deserialize)]`.

use emberline::prelude::*;

#[derive(Clone)]
struct Sale {
    shop: u32,
    cents: u64,
}

fn main() -> Result<()> {
    let ctx = Context::local()?;
    let sales = ctx.range(0..10_u64).map(|n| Sale { shop: 1, cents: n });
    let by_shop = sales.key_by(|sale| sale.shop).group_by_key();
    println!("{:?}", by_shop.map_values(|sales| sales[0].cents).collect()?);
    Ok(())
}

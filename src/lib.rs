#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub use emberline_rdd::*;

pub mod prelude {
    //! What a program needs in scope: `use emberline::prelude::*;`.
    //!
    //! ```
    //! use emberline::prelude::*;
    //!
    //! fn main() -> Result<()> {
    //!     let ctx = Context::local()?;
    //!     assert_eq!(ctx.range(0..3_u32).collect()?, [0, 1, 2]);
    //!     Ok(())
    //! }
    //! ```
    pub use emberline_rdd::prelude::*;
}

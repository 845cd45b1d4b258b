//! Sums of floats that were added in another order.

/// A float that is equal to those next to it: within a billionth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Close(pub f64);

impl PartialEq for Close {
    fn eq(&self, other: &Close) -> bool {
        (self.0 - other.0).abs() <= 1e-9 * self.0.abs().max(other.0.abs())
    }
}

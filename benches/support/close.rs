//! Comparison of float sums that were added in different orders.

/// A float that equals others within a relative difference of a billionth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Close(pub f64);

impl PartialEq for Close {
    fn eq(&self, other: &Close) -> bool {
        (self.0 - other.0).abs() <= 1e-9 * self.0.abs().max(other.0.abs())
    }
}

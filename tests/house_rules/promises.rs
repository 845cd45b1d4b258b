//! Each promise about faults has a test that keeps it, or a reason why it has none.

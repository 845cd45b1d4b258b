//! Helpers of these tests.

use emberline::{Result, StorageLevel};
use testkit::{DEADLINE, within};

/// The storage levels.
pub const LEVELS: [StorageLevel; 5] = [
    StorageLevel::Memory,
    StorageLevel::MemoryAndDisk,
    StorageLevel::Disk,
    StorageLevel::SerializedMemory,
    StorageLevel::SerializedMemoryAndDisk,
];

/// Runs a test under the usual deadline.
pub fn test(body: impl FnOnce() -> Result<()> + Send + 'static) {
    within(DEADLINE, body).unwrap();
}

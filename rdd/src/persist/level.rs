//! Storage levels: where the blocks of a persisted RDD are stored.

use std::fmt;

/// The place at which [`persist`](crate::Rdd::persist) stores partitions. It never changes a
/// result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageLevel {
    /// In memory, as rows. A partition that does not fit, or is evicted, is computed again. The
    /// fastest to read; rows are read in place by [`refs`](crate::Rdd::refs).
    #[default]
    #[doc(alias = "MEMORY_ONLY")]
    Memory,
    /// In memory, as rows. A partition that does not fit, or is evicted, is written to disk.
    #[doc(alias = "MEMORY_AND_DISK")]
    MemoryAndDisk,
    /// On disk.
    #[doc(alias = "DISK_ONLY")]
    Disk,
    /// In memory, serialized and compressed with
    /// [`spill_compression`](crate::ContextBuilder::spill_compression): smaller and slower to read.
    /// A partition that does not fit, or is evicted, is computed again.
    #[doc(alias = "MEMORY_ONLY_SER")]
    SerializedMemory,
    /// In memory, serialized. A partition that does not fit, or is evicted, is written to disk.
    #[doc(alias = "MEMORY_AND_DISK_SER")]
    SerializedMemoryAndDisk,
}

impl StorageLevel {
    pub(super) fn uses_memory(self) -> bool {
        self != StorageLevel::Disk
    }

    pub(super) fn uses_disk(self) -> bool {
        !matches!(self, StorageLevel::Memory | StorageLevel::SerializedMemory)
    }

    pub(super) fn is_serialized(self) -> bool {
        matches!(self, StorageLevel::SerializedMemory | StorageLevel::SerializedMemoryAndDisk)
    }
}

impl fmt::Display for StorageLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StorageLevel::Memory => "memory",
            StorageLevel::MemoryAndDisk => "memory and disk",
            StorageLevel::Disk => "disk",
            StorageLevel::SerializedMemory => "serialized memory",
            StorageLevel::SerializedMemoryAndDisk => "serialized memory and disk",
        })
    }
}

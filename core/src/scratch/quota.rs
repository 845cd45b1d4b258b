//! The scratch quota: the maximum size of all scratch files of a context.

use crate::error::{Error, ErrorKind};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The size of all scratch files of a context. It is updated once for each write, never for a row.
pub(super) struct Quota {
    limit: u64,
    used: AtomicU64,
}

impl Quota {
    pub fn new(limit: Option<u64>) -> Self {
        Quota { limit: limit.unwrap_or(u64::MAX), used: AtomicU64::new(0) }
    }

    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Takes bytes of the quota.
    fn take(&self, bytes: u64) -> Result<(), OverQuota> {
        let take = |used: u64| used.checked_add(bytes).filter(|after| *after <= self.limit);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        let over = |used_bytes| OverQuota { limit: self.limit, used_bytes, bytes };
        taken.map(drop).map_err(over)
    }
}

/// The bytes of one file. They are returned to the quota when its last user drops it.
pub(super) struct QuotaAccount {
    quota: Arc<Quota>,
    bytes: AtomicU64,
}

impl QuotaAccount {
    pub fn new(quota: Arc<Quota>) -> Self {
        QuotaAccount { quota, bytes: AtomicU64::new(0) }
    }

    /// Takes the bytes of one write, before the write.
    pub fn take(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let refuse = |over| io::Error::new(io::ErrorKind::QuotaExceeded, over);
        self.quota.take(bytes).map_err(refuse)?;
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Leaks the bytes: they are never returned, because the file could not be deleted and is still
    /// on the disk.
    pub fn leak(&self) {
        self.bytes.store(0, Ordering::Release);
    }
}

impl Drop for QuotaAccount {
    fn drop(&mut self) {
        self.quota.used.fetch_sub(*self.bytes.get_mut(), Ordering::AcqRel);
    }
}

/// A write that would have exceeded the quota.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("scratch quota exceeded")]
pub(super) struct OverQuota {
    limit: u64,
    used_bytes: u64,
    bytes: u64,
}

impl OverQuota {
    /// Returns the failed write if our quota, and not one of the system, stopped it.
    pub fn of(cause: &io::Error) -> Option<OverQuota> {
        cause.get_ref().and_then(|inner| inner.downcast_ref()).copied()
    }
}

impl From<OverQuota> for Error {
    fn from(over: OverQuota) -> Error {
        let OverQuota { limit, used_bytes, bytes } = over;
        Error::new(ErrorKind::ScratchQuotaExceeded { quota_bytes: limit, used_bytes, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_up_to_the_quota_and_returned() {
        let quota = Arc::new(Quota::new(Some(10)));
        let one = QuotaAccount::new(quota.clone());
        let two = QuotaAccount::new(quota.clone());
        one.take(6).unwrap();
        two.take(4).unwrap();
        let over = OverQuota::of(&two.take(1).unwrap_err()).unwrap();
        assert_eq!((over.limit, over.used_bytes, over.bytes), (10, 10, 1));
        drop(one);
        assert_eq!(quota.used_bytes(), 4);
        two.take(6).unwrap();
        drop(two);
        assert_eq!(quota.used_bytes(), 0);
    }

    #[test]
    fn without_a_quota_bytes_are_still_counted() {
        let quota = Arc::new(Quota::new(None));
        let account = QuotaAccount::new(quota.clone());
        account.take(1 << 40).unwrap();
        assert_eq!(quota.used_bytes(), 1 << 40);
    }

    #[test]
    fn a_file_that_stays_on_the_disk_stays_counted() {
        let quota = Arc::new(Quota::new(Some(10)));
        let account = QuotaAccount::new(quota.clone());
        account.take(7).unwrap();
        account.leak();
        drop(account);
        assert_eq!(quota.used_bytes(), 7);
    }

    #[test]
    fn a_quota_error_of_the_system_is_not_ours() {
        assert!(OverQuota::of(&io::ErrorKind::QuotaExceeded.into()).is_none());
    }
}

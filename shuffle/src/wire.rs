//! Fixed-width little-endian fields.

pub(crate) fn put_u32(out: &mut Vec<u8>, field: u32) {
    out.extend(field.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, field: u64) {
    out.extend(field.to_le_bytes());
}

/// Takes fields off the front of bytes that were checked to be long enough.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) =
            self.0.split_first_chunk().expect("the caller read a whole header of fixed length");
        self.0 = rest;
        *field
    }
}

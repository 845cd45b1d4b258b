//! The header of a frame: 24 bytes before its rows.

use super::compress::{LZ4, MAX_LZ4_GAIN, MAX_ZSTD_GAIN, STORED, ZSTD};
use super::{MAX_FRAME_ROWS, MAX_TARGET_BYTES};
use emberline_core::codec::{CODEC_ID, MAX_ROW_BYTES};
use emberline_core::error::{Error, Result};

/// The version of the frames.
pub const FRAME_VERSION: u8 = 3;
const NO_FLAGS: u8 = 0;

/// The first bytes of every frame.
const START: [u8; 6] = [b'F', b'R', b'M', b'E', FRAME_VERSION, CODEC_ID];

pub(super) const HEADER_BYTES: usize = 24;
/// The length of the header without its checksum.
pub(super) const FIELD_BYTES: usize = 20;

/// The location of a frame: the same bytes at another location have another checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameLocation {
    pub file_tag: u32,
    pub offset: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The compression of the payload.
    pub compression: u8,
    pub rows: usize,
    /// The length of the encoded rows.
    pub raw: usize,
    /// The length of the payload.
    pub stored: usize,
}

impl Header {
    /// Returns the bytes of this header, with the checksum of its fields, of `payload` and of the
    /// location.
    pub(super) fn seal(
        &self,
        location: FrameLocation,
        payload: &[u8],
    ) -> Result<[u8; HEADER_BYTES]> {
        let mut header = [0; HEADER_BYTES];
        header[..6].copy_from_slice(&START);
        header[6..8].copy_from_slice(&[self.compression, NO_FLAGS]);
        for (at, length) in [(8, self.rows), (12, self.raw), (16, self.stored)] {
            let field = u32::try_from(length);
            let field = field.map_err(|_| {
                Error::invalid_argument("a row is larger than 4 GiB; split it into several rows")
            })?;
            header[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
        let crc = checksum(location, &header[..FIELD_BYTES], payload);
        header[FIELD_BYTES..].copy_from_slice(&crc.to_le_bytes());
        Ok(header)
    }

    /// Reads the header of a frame. A header that no writer makes is an error.
    pub(super) fn parse(header: &[u8]) -> std::result::Result<Header, &'static str> {
        if !header.starts_with(&START) || header[7] != NO_FLAGS {
            return Err("it does not begin as a frame does");
        }
        let [rows, raw, stored] = [8, 12, 16].map(|at| u32_at(header, at) as usize);
        let read = Header { compression: header[6], rows, raw, stored };
        match read.could_be_written() {
            true => Ok(read),
            false => Err("its lengths do not fit"),
        }
    }

    /// Returns true if a writer could have made this header. This bounds the memory that is
    /// allocated for the rows.
    fn could_be_written(&self) -> bool {
        let Header { compression, rows, raw, stored } = *self;
        let max_raw = match rows {
            1 => MAX_ROW_BYTES,
            // All rows except the last are smaller than the target together, and the last is at
            // most the target. Concatenated frames have at most the target.
            _ => 2 * MAX_TARGET_BYTES,
        };
        let gain = match compression {
            STORED => raw == stored,
            LZ4 => stored < raw && raw / MAX_LZ4_GAIN <= stored,
            ZSTD => stored < raw && raw / MAX_ZSTD_GAIN <= stored,
            _ => false,
        };
        gain && raw <= max_raw && (1..=MAX_FRAME_ROWS).contains(&rows)
    }
}

/// Returns true if the checksum of a frame matches its location, its fields and its payload.
pub(super) fn is_whole(location: FrameLocation, header: &[u8], payload: &[u8]) -> bool {
    checksum(location, &header[..FIELD_BYTES], payload) == u32_at(header, FIELD_BYTES)
}

pub(super) fn checksum(location: FrameLocation, fields: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&location.file_tag.to_le_bytes());
    crc.update(&location.offset.to_le_bytes());
    crc.update(fields);
    crc.update(payload);
    crc.finalize()
}

/// Returns the number at an offset of a header.
pub(super) fn u32_at(header: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(field)
}

//! The 24 bytes before a frame's rows, and what they may say.

use super::compress::{LZ4, MAX_LZ4_GAIN, MAX_ZSTD_GAIN, STORED, ZSTD};
use super::{LARGEST_TARGET, MAX_FRAME_ROWS};
use emberline_core::codec::{CODEC_ID, MAX_ROW_BYTES};
use emberline_core::error::{Error, Result};

/// The version of the frames.
pub const FRAME_VERSION: u8 = 3;
const NO_FLAGS: u8 = 0;

/// How every frame begins.
const START: [u8; 6] = [b'F', b'R', b'M', b'E', FRAME_VERSION, CODEC_ID];

pub(super) const HEADER_BYTES: usize = 24;
/// The header without its checksum.
pub(super) const FIELD_BYTES: usize = 20;

/// Where a frame belongs: the same bytes elsewhere have another checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameLocation {
    pub file_tag: u32,
    pub offset: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// How the payload is compressed.
    pub compression: u8,
    pub rows: usize,
    /// The bytes of the rows.
    pub raw: usize,
    /// The bytes of the payload.
    pub stored: usize,
}

impl Header {
    /// The bytes of this header before `payload`.
    pub(super) fn seal(&self, place: FrameLocation, payload: &[u8]) -> Result<[u8; HEADER_BYTES]> {
        let mut header = [0; HEADER_BYTES];
        header[..6].copy_from_slice(&START);
        header[6..8].copy_from_slice(&[self.compression, NO_FLAGS]);
        for (at, length) in [(8, self.rows), (12, self.raw), (16, self.stored)] {
            let field = u32::try_from(length);
            let field = field.map_err(|_| Error::invalid_argument("a row has more than 4 GiB"))?;
            header[at..at + 4].copy_from_slice(&field.to_le_bytes());
        }
        let crc = checksum(place, &header[..FIELD_BYTES], payload);
        header[FIELD_BYTES..].copy_from_slice(&crc.to_le_bytes());
        Ok(header)
    }

    /// What the first bytes of a frame say, if a writer could have said it.
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

    /// Whether a writer makes such frames. This bounds what is allocated for the rows.
    fn could_be_written(&self) -> bool {
        let Header { compression, rows, raw, stored } = *self;
        let most_raw = match rows {
            1 => MAX_ROW_BYTES,
            // All but the last are less than the target, and the last is at most that. Of joined
            // frames all together are at most the target.
            _ => 2 * LARGEST_TARGET,
        };
        let gain = match compression {
            STORED => raw == stored,
            LZ4 => stored < raw && raw / MAX_LZ4_GAIN <= stored,
            ZSTD => stored < raw && raw / MAX_ZSTD_GAIN <= stored,
            _ => false,
        };
        gain && raw <= most_raw && (1..=MAX_FRAME_ROWS).contains(&rows)
    }
}

/// Whether the checksum of a frame is that of its place, its fields and its payload.
pub(super) fn is_whole(place: FrameLocation, header: &[u8], payload: &[u8]) -> bool {
    checksum(place, &header[..FIELD_BYTES], payload) == u32_at(header, FIELD_BYTES)
}

pub(super) fn checksum(place: FrameLocation, fields: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&place.file_tag.to_le_bytes());
    crc.update(&place.offset.to_le_bytes());
    crc.update(fields);
    crc.update(payload);
    crc.finalize()
}

/// The number at a byte of a header.
pub(super) fn u32_at(header: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(field)
}

//! Compresses and decompresses frames. Buffers and tables are reused from frame to frame.

use super::MAX_RETAINED_BYTES;
use emberline_core::config::Compression;
use emberline_core::error::{Error, ErrorKind, Result, internal};
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

/// The payload is the encoded rows.
pub(super) const STORED: u8 = 0;
/// The payload is one LZ4 block.
pub(super) const LZ4: u8 = 1;
/// The payload is one zstd frame.
pub(super) const ZSTD: u8 = 2;

/// The most bytes of rows for each byte of an LZ4 block: each further byte of a match stands for at
/// most 255.
pub(super) const MAX_LZ4_GAIN: usize = 255;
/// The most bytes of rows for each byte of a zstd frame: a block of at most 128 KiB takes four
/// bytes.
pub(super) const MAX_ZSTD_GAIN: usize = 32 << 10;

/// The shortest payload that is compressed: compressing a shorter one would not save a disk block.
const MIN_COMPRESSED_BYTES: usize = 128;
/// The number of consecutive frames that did not get smaller after which most frames are stored
/// without trying.
const MAX_MISSES: u32 = 4;
/// The interval of tries after those: one frame in this number is tried.
const TRY_INTERVAL: u32 = 16;

/// Compresses the frames of one file. Which frames it tries depends on the rows alone.
pub(super) struct FrameCompressor {
    method: Method,
    out: Vec<u8>,
    /// The number of consecutive frames that did not get smaller, or were not tried.
    misses: u32,
}

enum Method {
    Stored,
    Lz4(CompressTable),
    #[cfg(feature = "zstd")]
    Zstd(zstd::bulk::Compressor<'static>),
}

impl FrameCompressor {
    pub(super) fn new(compression: Compression) -> Result<Self> {
        let method = match compression {
            Compression::None => Method::Stored,
            Compression::Lz4 => Method::Lz4(CompressTable::default()),
            Compression::Zstd => zstd_method()?,
        };
        Ok(FrameCompressor { method, out: Vec::new(), misses: 0 })
    }

    /// Compresses `raw` and returns the method and the bytes, or nothing if that does not pay off.
    pub(super) fn compress(&mut self, raw: &[u8]) -> Result<Option<(u8, &[u8])>> {
        let (id, most) = match &self.method {
            Method::Stored => return Ok(None),
            Method::Lz4(_) => (LZ4, get_maximum_output_size(raw.len())),
            #[cfg(feature = "zstd")]
            Method::Zstd(_) => (ZSTD, zstd::zstd_safe::compress_bound(raw.len())),
        };
        if raw.len() < MIN_COMPRESSED_BYTES || self.should_skip() {
            return Ok(None);
        }
        let compressed = self.compress_into(raw, most)?;
        if compressed > raw.len() - raw.len() / 20 {
            self.misses += 1;
            return Ok(None);
        }
        self.misses = 0;
        Ok(Some((id, &self.out[..compressed])))
    }

    /// Returns true if the next frame is stored without trying to compress it.
    fn should_skip(&mut self) -> bool {
        let tried = match self.misses.checked_sub(MAX_MISSES) {
            None => true,
            Some(skipped) => (skipped + 1).is_multiple_of(TRY_INTERVAL),
        };
        if !tried {
            self.misses += 1;
        }
        !tried
    }

    /// Compresses `raw` to the beginning of `out` and returns the number of bytes.
    fn compress_into(&mut self, raw: &[u8], most: usize) -> Result<usize> {
        ensure_len(&mut self.out, most);
        match &mut self.method {
            Method::Stored => Ok(raw.len()),
            Method::Lz4(table) => {
                compress_into_with_table(raw, &mut self.out, table).map_err(|error| refused(&error))
            }
            #[cfg(feature = "zstd")]
            Method::Zstd(zstd) => {
                zstd.compress_to_buffer(raw, &mut self.out[..]).map_err(|error| refused(&error))
            }
        }
    }
}

#[cfg(feature = "zstd")]
fn zstd_method() -> Result<Method> {
    zstd::bulk::Compressor::new(1).map(Method::Zstd).map_err(|error| refused(&error))
}

#[cfg(not(feature = "zstd"))]
fn zstd_method() -> Result<Method> {
    let problems = vec!["spill_compression is Zstd, which this build does not include; enable the feature `zstd` of emberline, or use Lz4".into()];
    Err(Error::new(ErrorKind::InvalidConfig { problems }))
}

/// Returns the error of a failed compression. It is internal, since the output has enough space.
#[cold]
fn refused(error: &dyn std::fmt::Display) -> Error {
    internal(format_args!("compressing a frame failed: {error}"))
}

/// Makes `buffer` at least `wanted` long, with any content.
fn ensure_len(buffer: &mut Vec<u8>, wanted: usize) {
    if buffer.len() > MAX_RETAINED_BYTES && wanted <= MAX_RETAINED_BYTES {
        *buffer = Vec::new();
    }
    if buffer.len() < wanted {
        // Not by `resize`, which would copy the old bytes and double the capacity.
        *buffer = vec![0; wanted];
    }
}

/// Decompresses the payloads of frames.
#[derive(Default)]
pub(super) struct FrameDecompressor {
    out: Vec<u8>,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl FrameDecompressor {
    /// Releases the memory that one large row needed.
    pub(super) fn shrink(&mut self) {
        if self.out.len() > MAX_RETAINED_BYTES {
            self.out = Vec::new();
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.out.capacity()
    }

    /// Decompresses `payload` to exactly `raw` bytes. The caller has checked that `raw` is allowed.
    pub(super) fn decompress<'a>(
        &'a mut self,
        compression: u8,
        payload: &'a [u8],
        raw: usize,
    ) -> std::result::Result<&'a [u8], &'static str> {
        if compression == STORED {
            return Ok(payload);
        }
        ensure_len(&mut self.out, raw);
        let found = match compression {
            LZ4 => lz4_flex::block::decompress_into(payload, &mut self.out[..raw]).ok(),
            ZSTD => self.decompress_zstd(payload, raw)?,
            _ => None,
        };
        match found {
            Some(found) if found == raw => Ok(&self.out[..raw]),
            _ => Err("its rows do not decompress"),
        }
    }

    #[cfg(feature = "zstd")]
    fn decompress_zstd(
        &mut self,
        payload: &[u8],
        raw: usize,
    ) -> std::result::Result<Option<usize>, &'static str> {
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(
                zstd::bulk::Decompressor::new()
                    .map_err(|_| "there is no memory to decompress it")?,
            ),
        };
        Ok(zstd.decompress_to_buffer(payload, &mut self.out[..raw]).ok())
    }

    #[cfg(not(feature = "zstd"))]
    fn decompress_zstd(
        &mut self,
        _: &[u8],
        _: usize,
    ) -> std::result::Result<Option<usize>, &'static str> {
        Err("it is compressed with zstd, which this build does not include")
    }
}

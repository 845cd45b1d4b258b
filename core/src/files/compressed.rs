//! Recognizes compressed files, which are not read as lines.

use std::path::Path;

/// The number of bytes at the beginning of a file by which its compression is recognized.
pub const MAX_MAGIC_BYTES: usize = 10;

/// Extensions, in lower case, with the name of their compression.
const EXTENSIONS: [(&str, &[&str]); 13] = [
    ("gzip", &["gz", "gzip", "tgz", "taz", "svgz", "emz"]),
    ("bzip2", &["bz", "bz2", "bzip2", "tbz", "tbz2", "tb2"]),
    ("zstd", &["zst", "zstd", "tzst", "tzs"]),
    ("xz", &["xz", "txz", "lzma", "tlz", "tlzma"]),
    ("lz4", &["lz4", "tlz4"]),
    ("lzip", &["lz"]),
    ("lzo", &["lzo", "lzop", "tzo"]),
    ("zip", &["zip", "zipx", "jar"]),
    ("snappy", &["snappy", "sz", "snz"]),
    ("compress", &["z", "tz"]),
    ("zlib", &["deflate", "zlib", "zz"]),
    ("brotli", &["br", "brotli"]),
    ("archive", &["7z", "rar", "cab"]),
];

/// First bytes, with the name of their compression. None of them begins a text: each has a byte
/// that no text has, or is as long as its format allows.
const MAGIC: [(&str, &[u8]); 22] = [
    ("gzip", b"\x1f\x8b"),
    ("compress", b"\x1f\x9d"),
    ("compress", b"\x1f\xa0"),
    ("pack", b"\x1f\x1e"),
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("xz", b"\xfd7zXZ\0"),
    ("xz", b"\x5d\0\0"),
    ("lz4", b"\x04\x22\x4d\x18"),
    ("lz4", b"\x02\x21\x4c\x18"),
    ("lzip", b"LZIP\x01"),
    ("lzip", b"LZIP\0"),
    ("lzo", b"\x89LZO\0\r\n\x1a\n"),
    ("zip", b"PK\x03\x04"),
    ("zip", b"PK\x05\x06"),
    ("zip", b"PK\x07\x08"),
    ("snappy", b"\xff\x06\0\0sNaPpY"),
    ("snappy", b"\x82SNAPPY\0"),
    ("zlib", b"\x78\x01"),
    ("zlib", b"\x78\x9c"),
    ("archive", b"7z\xbc\xaf\x27\x1c"),
    ("archive", b"Rar!\x1a\x07"),
    ("archive", b"MSCF\0\0\0\0"),
];

/// The bytes after the level of a bzip2 file: those of a block, and those of an empty file.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

/// Returns the name of the compression that the name of a file promises.
///
/// | name | result |
/// |---|---|
/// | `a.gz`, `A.GZ`, `a.gzip`, `a.tgz` | gzip, without regard to case |
/// | `a.gz.1`, `a.log.gz.2024` | gzip: numbers after the extension are those of rotated logs |
/// | `a.bz2`, `a.zst`, `a.xz`, `a.lz4`, `a.zip`, `a.snappy`, `a.Z`, `a.deflate` ... | so too |
/// | `gz`, `.gz`, `a.gz.txt`, `a` | none: their first bytes decide ([`compression_of_bytes`]) |
pub fn compression_of(path: &Path) -> Option<&'static str> {
    let mut name = Path::new(path.file_name()?);
    loop {
        let extension = name.extension()?.to_string_lossy().to_ascii_lowercase();
        if extension.is_empty() || !extension.bytes().all(|byte| byte.is_ascii_digit()) {
            let found = EXTENSIONS.iter().find(|(_, known)| known.contains(&extension.as_str()));
            return found.map(|(compression, _)| *compression);
        }
        name = Path::new(name.file_stem()?);
    }
}

/// Returns the name of the compression of a file that begins with `first`, of which
/// [`MAX_MAGIC_BYTES`] are enough.
pub fn compression_of_bytes(first: &[u8]) -> Option<&'static str> {
    if let [b'B', b'Z', b'h', b'1'..=b'9', block @ ..] = first {
        let is_block = BZIP2_BLOCKS.iter().any(|known| block.starts_with(known));
        return is_block.then_some("bzip2");
    }
    if is_skippable_frame(first) {
        return Some("zstd");
    }
    let found = MAGIC.iter().find(|(_, magic)| first.starts_with(magic));
    found.map(|(compression, _)| *compression)
}

/// Returns true for a frame of bytes to skip, with which a zstd or lz4 file may begin.
fn is_skippable_frame(first: &[u8]) -> bool {
    matches!(first, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    // Case R-A5 of tests/PROMISES.md.
    #[test]
    fn names_are_recognized_in_any_case_and_before_numbers() {
        let wanted = [
            ("a.gz", Some("gzip")),
            ("A.GZ", Some("gzip")),
            ("a.TgZ", Some("gzip")),
            ("a.gz.1", Some("gzip")),
            ("a.gz.1.2", Some("gzip")),
            ("a.Z", Some("compress")),
            ("a.bz2", Some("bzip2")),
            ("a.snappy", Some("snappy")),
            ("a.deflate", Some("zlib")),
            ("gz", None),
            (".gz", None),
            ("a.gz.txt", None),
            ("a.1", None),
            ("a.", None),
            ("a.agz", None),
        ];
        for (name, compression) in wanted {
            assert_eq!(compression_of(Path::new(name)), compression, "{name}");
        }
    }

    // Case R-A5 of tests/PROMISES.md.
    #[test]
    fn texts_that_begin_like_a_magic_number_are_texts() {
        let texts = [
            "BZh",
            "BZh9 is a name",
            "PK\n",
            "LZIP is old",
            "x^2",
            "(µ)",
            "7zip",
            "Rar!",
            "xڀ",
            "",
        ];
        for text in texts {
            assert_eq!(compression_of_bytes(text.as_bytes()), None, "{text}");
        }
        for (compression, magic) in MAGIC {
            assert_eq!(compression_of_bytes(magic), Some(compression));
            assert!(magic.len() <= MAX_MAGIC_BYTES);
        }
        assert_eq!(compression_of_bytes(b"BZh91AY&SY"), Some("bzip2"));
        assert_eq!(compression_of_bytes(b"\x50\x2a\x4d\x18"), Some("zstd"));
    }
}

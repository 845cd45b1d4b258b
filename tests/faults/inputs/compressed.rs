//! Compressed files are refused, whatever they are called, and never read as lines.

use emberline::prelude::*;
use std::fs;
use testkit::{DEADLINE, within};

/// Two gzip members of one line each.
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\xe4\x02\0\x07\xa1\xea\xdd\x02\0\0\0\
\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\xe2\x02\0\xc4\x92\xc7\xf6\x02\0\0\0";

/// The first bytes of formats, and extensions that they have.
const FORMATS: [(&[u8], &[&str]); 11] = [
    (GZIP, &["gz", "gzip", "tgz"]),
    (b"BZh91AY&SY\x01\x02\x03\x04 bytes", &["bz2", "bz", "tbz2"]),
    (b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0", &["bz2"]),
    (b"\x28\xb5\x2f\xfd bytes", &["zst", "zstd"]),
    (b"\xfd7zXZ\0 bytes", &["xz", "txz"]),
    (b"\x04\x22\x4d\x18 bytes", &["lz4"]),
    (b"PK\x03\x04 bytes", &["zip"]),
    (b"\xff\x06\0\0sNaPpY bytes", &["snappy", "sz"]),
    (b"\x1f\x9d bytes", &["Z"]),
    (b"\x78\x9c bytes", &["deflate", "zlib"]),
    (b"\x89LZO\0\r\n\x1a\n bytes", &["lzo"]),
];

fn assert_refused(outcome: Result<u64>, name: &str) {
    let error = match outcome {
        Err(error) => error,
        Ok(lines) => panic!("{name}: read as {lines} lines"),
    };
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }), "{name}: {error}");
    let text = error.to_string();
    assert!(text.contains(name) && text.contains("decompress"), "{text}");
}

// Case R-A5 of tests/PROMISES.md.
#[test]
fn a_compressed_file_is_refused_under_any_name_in_any_number_of_partitions() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        for (bytes, extensions) in FORMATS {
            let mut names: Vec<String> =
                ["a", "a.txt", "a.log.1", "gz", "part-00000"].map(String::from).into();
            for extension in extensions {
                names.push(format!("a.{extension}"));
                names.push(format!("A.{}", extension.to_uppercase()));
                names.push(format!("a.{extension}.1"));
                names.push(format!("a.{extension}.20240131.2"));
            }
            for name in names {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join("0.txt"), "x\n").unwrap();
                fs::write(folder.path().join(&name), bytes).unwrap();
                for partitions in [1, 3, 9] {
                    let options = Text::new().partitions(partitions);
                    assert_refused(ctx.text_file_with(options, folder.path()).count(), &name);
                }
            }
        }
    });
}

// Case R-A5 of tests/PROMISES.md.
#[test]
fn the_name_alone_is_enough_for_formats_without_first_bytes() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        for name in ["a.br", "a.deflate", "a.snappy", "a.GZ", "a.gz.7"] {
            let folder = super::folder_of(&[name]);
            assert_refused(ctx.text_file(folder.path().join(name)).count(), name);
        }
    });
}

// Case R-A5 of tests/PROMISES.md.
#[test]
fn texts_that_resemble_compressed_files_are_read() {
    within(DEADLINE, || {
        let ctx = Context::local().unwrap();
        let texts = ["BZh9", "BZh1 is a name", "PK", "x^2 + 1", "xڀ", "(µ)", "LZIP", "P*M"];
        for text in texts {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("zip"), text).unwrap();
            assert_eq!(ctx.text_file(folder.path()).collect().unwrap(), [text]);
        }
    });
}

// Case R-A11 of tests/PROMISES.md.
#[test]
fn an_empty_folder_has_no_partitions_and_every_operation_accepts_it() {
    within(DEADLINE, || {
        let folder = super::folder_of(&["_SUCCESS"]);
        let ctx = Context::builder().threads(2).build().unwrap();
        let lines = ctx.text_file(folder.path());
        assert_eq!(lines.num_partitions(), 0);
        assert_eq!(lines.count().unwrap(), 0);
        assert_eq!(lines.collect().unwrap(), Vec::<String>::new());
        assert_eq!(lines.take(3).unwrap(), Vec::<String>::new());
        assert_eq!(lines.first().unwrap(), None);
        assert_eq!(lines.map(|line| line.len()).reduce(|a, b| a + b).unwrap(), None);
        assert_eq!(lines.to_local_iterator().count(), 0);
        let pairs = lines.map(|line| (line, 1_u64));
        assert!(pairs.reduce_by_key(|a, b| a + b).collect().unwrap().is_empty());
        assert!(pairs.group_by_key().collect().unwrap().is_empty());
        assert!(pairs.join(&pairs).collect().unwrap().is_empty());
        assert!(pairs.sort_by_key(|pair| pair.0.clone()).collect().unwrap().is_empty());
        assert!(lines.distinct().collect().unwrap().is_empty());
        assert!(lines.repartition(3).collect().unwrap().is_empty());
        assert!(lines.coalesce(2).collect().unwrap().is_empty());
        assert!(lines.cache().collect().unwrap().is_empty());
        let other = ctx.parallelize_with(2, vec!["a".to_string()]);
        assert_eq!(lines.union(&other).collect().unwrap(), ["a"]);
        assert_eq!(other.subtract(&lines).collect().unwrap(), ["a"]);
        let words = other.map(|word| (word, 1_u64)).left_outer_join(&pairs).collect().unwrap();
        assert_eq!(words, [("a".to_string(), (1, None))]);
        let saved = folder.path().join("sub").join("out");
        lines.save_as_text_file(&saved).unwrap();
        assert_eq!(ctx.text_file(&saved).num_partitions(), 0);
        let checkpoint = folder.path().join("sub").join("checkpoint");
        let _ = lines.checkpoint(&checkpoint).unwrap();
        assert_eq!(ctx.read_checkpoint::<String>(&checkpoint).num_partitions(), 0);
        assert_eq!(ctx.read_checkpoint::<String>(&checkpoint).count().unwrap(), 0);
    });
}

// Case R-A11 of tests/PROMISES.md.
#[test]
fn a_number_of_partitions_that_was_asked_for_is_made_also_for_an_empty_folder() {
    within(DEADLINE, || {
        let folder = super::folder_of(&["_SUCCESS"]);
        let ctx = Context::local().unwrap();
        let lines = ctx.text_file_with(Text::new().partitions(3), folder.path());
        assert_eq!((lines.num_partitions(), lines.count().unwrap()), (3, 0));
        // A file without bytes is a file: it has a partition.
        fs::write(folder.path().join("a.txt"), "").unwrap();
        let lines = ctx.text_file(folder.path());
        assert_eq!((lines.num_partitions(), lines.count().unwrap()), (1, 0));
    });
}

//! See `entries::frame_reader`.

#![no_main]

#[allow(dead_code, reason = "the other targets use the rest")]
#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::frame_reader(data));

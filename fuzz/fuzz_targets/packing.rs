//! Compressed bodies: the measured size is the decompressed size, and neither step takes more memory.
#![no_main]

use ferroflow::api::unpack::{Fault, Packing, measure};
use ferroflow_fuzz::within;
use libfuzzer_sys::fuzz_target;

/// flate2's maximum memory: the window, the tables, the buffers, and the names in the header.
const READER: usize = 256 * 1024;
const LIMIT: usize = 1024 * 1024;

fuzz_target!(|body: &[u8]| {
    for encoding in ["gzip", "deflate"] {
        let ways = Packing::of(encoding);
        match within(READER, || measure(ways, body, LIMIT)) {
            Ok((way, length)) => {
                assert!(length <= LIMIT);
                let whole = within(READER + length, || way.unpack(body, length)).expect("as it was measured");
                assert_eq!(whole.len(), length);
                // A limit that is just met does not matter, one below does.
                assert_eq!(way.measure(body, length), Ok(length));
                if length > 0 {
                    assert_eq!(way.measure(body, length - 1), Err(Fault::TooLong));
                }
            }
            Err(fault) => assert_ne!(fault, Fault::GrowsTooMuch, "below the size from which growth matters"),
        }
    }
    assert!(Packing::of("br").is_empty());
});

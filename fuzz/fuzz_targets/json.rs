//! The reader of requests on any bytes: none may panic, and what is written of what was read is read the same.
//! Run with `cargo +nightly fuzz run json`.

#![no_main]

use ferroflow::api::extract::{Request, from_body};
use ferroflow::proto::{CreateRun, LogBatch, LogMetric, SearchRuns};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;

fn read<T: Request + Serialize>(bytes: &[u8]) {
    let Ok(message) = from_body::<T>(bytes) else { return };
    let json = serde_json::to_string(&message).expect("a message can be written");
    let back: T = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&back).expect("as before"), json);
}

fuzz_target!(|bytes: &[u8]| {
    read::<LogBatch>(bytes);
    read::<LogMetric>(bytes);
    read::<CreateRun>(bytes);
    read::<SearchRuns>(bytes);
});

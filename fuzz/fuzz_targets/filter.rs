//! Every parser of the filter language on any text: none may panic, and each must answer in time.
//! Run with `cargo +nightly fuzz run filter`.

#![no_main]

use ferroflow::domain::page::parse_offset_token;
use ferroflow::search::experiments::ExperimentQuery;
use ferroflow::search::logged_models::LoggedModelQuery;
use ferroflow::search::runs::RunQuery;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let order_by = [text.to_owned()];
    drop(RunQuery::parse(text, &[]));
    drop(RunQuery::parse("", &order_by));
    drop(ExperimentQuery::parse(text, &[]));
    drop(ExperimentQuery::parse("", &order_by));
    drop(LoggedModelQuery::parse(text, &[]));
    drop(parse_offset_token(Some(text)));
});

//! Requests in a GET's query string: none may panic, be reported as a server error, or allocate more than a
//! few times its length. As JSON in a POST they are parsed the same.
#![no_main]

use ferroflow::api::extract::{Request, from_body, from_query};
use ferroflow::proto::{
    GetExperiment, GetMetricHistory, GetModelVersion, GetRun, ListArtifacts, ListWebhooks, SearchModelVersions,
    SearchRegisteredModels,
};
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;

fuzz_target!(|query: &str| {
    macro_rules! read_all {
        ($($message:ty),* $(,)?) => { $(read::<$message>(query);)* };
    }
    read_all!(
        GetExperiment,
        GetMetricHistory,
        GetModelVersion,
        GetRun,
        ListArtifacts,
        ListWebhooks,
        SearchModelVersions,
        SearchRegisteredModels,
    );
});

fn read<T: Request + Serialize>(query: &str) {
    // A pair is two strings and their slots in a list.
    let message = match within(8192 + 64 * query.len(), || from_query::<T>(query)) {
        Ok(message) => message,
        Err(error) => return is_refusal(&error, query.len()),
    };
    let json = serde_json::to_string(&message).expect("a message can be written");
    let back = from_body::<T>(json.as_bytes()).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&back).expect("as before"), json, "{query:?}");
}

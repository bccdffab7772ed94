//! GraphQL requests, the query and its variables, up to the store. A JSON body is taken as it is; any other
//! is taken for the query.
#![no_main]

use ferroflow::api::graphql::{Plan, Question};
use ferroflow::domain::validate::Limits;
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// Allocated once, by the schema and the first query.
const FIRST: usize = 4 * 1024 * 1024;

fuzz_target!(|body: &[u8]| {
    match within(4096 + 200 * body.len(), || Question::read(body)) {
        Ok(question) => plan(&question, body.len()),
        Err(error) => is_refusal(&error, body.len()),
    }
    if let Ok(query) = std::str::from_utf8(body) {
        let question = json!({ "query": query, "variables": { "data": { "runId": 5 }, "n": [1.5, null] } });
        let question = Question::read(question.to_string().as_bytes()).expect("it is a question");
        plan(&question, query.len());
    }
});

fn plan(question: &Question, sent: usize) {
    match within(FIRST + 4096 * sent, || Plan::of(question, &Limits::default())) {
        Ok(Ok(_plan)) => {}
        // Each has a message.
        Ok(Err(errors)) => assert!(!errors.is_empty() && errors.iter().all(|error| !error.is_empty())),
        Err(error) => {
            is_refusal(&error, 100 * sent);
            assert!(error.message.starts_with("Syntax Error: "), "{error}");
        }
    }
}

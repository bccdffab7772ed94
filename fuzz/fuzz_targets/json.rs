//! JSON requests on any bytes: none may panic, be reported as a server error, or allocate more than its
//! outline allows. Requests round-trip, by both readers; and the counts of a text bound what is made of it.
#![no_main]

use ferroflow::api::extract::{Request, from_body};
use ferroflow::proto::loose::Json;
use ferroflow::proto::outline::{MAX_DEPTH, Outline};
use ferroflow::proto::{
    AddGuardrailToEndpoint, BatchGetTraces, CreateAssessment, CreateDataset, CreateExperiment,
    CreateGatewayEndpoint, CreateIssue, CreateLabelSchema, CreateLoggedModel, CreateModelVersion,
    CreateRegisteredModel, CreateReviewQueue, CreateRun, CreateWebhook, EndTrace, LogBatch, LogInputs,
    LogLoggedModelParamsRequest, LogMetric, QueryTraceMetrics, RegisterScorer, SearchEvaluationDatasets,
    SearchLoggedModels, SearchRuns, SearchTracesV3, SetRegisteredModelAlias, StartTrace, StartTraceV3,
    UpdateAssessment, UpdateModelVersion, UpdateRun, UpsertDatasetRecords,
};
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;

/// As `api/body.rs` has it.
const COPIES: usize = 2;
/// As `api/body.rs` has it.
const VALUE_SIZE: usize = 128;
/// Not counted: the message's own fields.
const ROOM: usize = 8192;

fuzz_target!(|bytes: &[u8]| {
    let outline = Outline::of(bytes, &["metrics", "params", "tags"]);
    if let Some(json) = loose(bytes) {
        outlines(&json, &outline);
    }
    if outline.is_too_deep {
        return;
    }
    let most = ROOM + COPIES * bytes.len() + VALUE_SIZE * outline.values;
    if let Some(batch) = read::<LogBatch>(bytes, most) {
        let lists = [batch.metrics.len(), batch.params.len(), batch.tags.len()];
        let is_bound = lists.iter().zip(&outline.counts).all(|(made, counted)| made <= counted);
        assert!(is_bound, "made {lists:?}, counted {:?}", outline.counts);
    }
    macro_rules! read_all {
        ($($message:ty),* $(,)?) => { $(read::<$message>(bytes, most);)* };
    }
    read_all!(
        AddGuardrailToEndpoint,
        BatchGetTraces,
        CreateAssessment,
        CreateDataset,
        CreateExperiment,
        CreateGatewayEndpoint,
        CreateIssue,
        CreateLabelSchema,
        CreateLoggedModel,
        CreateModelVersion,
        CreateRegisteredModel,
        CreateReviewQueue,
        CreateRun,
        CreateWebhook,
        EndTrace,
        LogInputs,
        LogLoggedModelParamsRequest,
        LogMetric,
        QueryTraceMetrics,
        RegisterScorer,
        SearchEvaluationDatasets,
        SearchLoggedModels,
        SearchRuns,
        SearchTracesV3,
        SetRegisteredModelAlias,
        StartTrace,
        StartTraceV3,
        UpdateAssessment,
        UpdateModelVersion,
        UpdateRun,
        UpsertDatasetRecords,
    );
});

fn read<T: Request + Serialize>(bytes: &[u8], most: usize) -> Option<T> {
    let message = match within(most, || from_body::<T>(bytes)) {
        Ok(message) => message,
        Err(error) => {
            is_refusal(&error, bytes.len());
            return None;
        }
    };
    let json = serde_json::to_string(&message).expect("a message can be written");
    let back: T = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&back).expect("as before"), json);
    // The old name of `run_id` counts in messages without it, too.
    if let Ok(back) = from_body::<T>(json.as_bytes()) {
        assert_eq!(serde_json::to_string(&back).expect("as before"), json);
    }
    Some(message)
}

/// Parses as Python does, and round-trips.
fn loose(bytes: &[u8]) -> Option<Json> {
    let json = Json::parse(bytes)?;
    for written in [json.dumps(), json.dumps_spaced(), json.dumps_sorted()] {
        let again = Json::parse(written.as_bytes()).expect("what was written can be read");
        assert_eq!(again.dumps(), json.dumps());
    }
    drop(json.to_value());
    Some(json)
}

/// Asserts that the outline covers a value.
fn outlines(json: &Json, outline: &Outline<'_>) {
    let mut found = Found::default();
    found.add(json, 1);
    if outline.is_too_deep {
        return;
    }
    assert!(found.depth <= MAX_DEPTH);
    assert!(found.values <= 2 * outline.values + 1, "{} values, {outline:?}", found.values);
    assert!(found.longest <= outline.longest_list.1, "a list of {}, {outline:?}", found.longest);
}

/// What is in a value.
#[derive(Default)]
struct Found {
    depth: usize,
    values: usize,
    longest: usize,
}

impl Found {
    fn add(&mut self, json: &Json, depth: usize) {
        self.values += 1;
        match json {
            Json::List(items) => {
                self.depth = self.depth.max(depth);
                if items.iter().any(|item| matches!(item, Json::List(_) | Json::Object(_))) {
                    self.longest = self.longest.max(items.len());
                }
                items.iter().for_each(|item| self.add(item, depth + 1));
            }
            Json::Object(fields) => {
                self.depth = self.depth.max(depth);
                fields.iter().for_each(|(_, value)| self.add(value, depth + 1));
            }
            _ => {}
        }
    }
}

//! How pages show the demo: tags of its experiment that hold views.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Value, json};

use crate::domain::{Error, Result};

/// The tag with the view of one trace.
pub const CUSTOM_VIEW: &str = "mlflow.customView.view.v1.mlflow-demo-answer-review";
/// The tag with the view of the list of traces.
pub const SAVED_VIEW: &str = "mlflow.tracesV4ViewState.mlflow-demo-conversations";

/// Returns the view of one trace: its numbers, what went in and out, what was retrieved, and a question about it.
pub fn custom_view() -> String {
    let field =
        |span: &Value, field: &str| json!({ "$source": "spanField", "spanRef": span, "field": field });
    let (root, found) = (json!("root"), json!({ "type": "RETRIEVER", "nth": 0 }));
    let number = |id: &str, source: &str, label: &str, icon: &str| {
        json!({ "id": id, "component": "StatCard", "value": { "$source": source }, "label": label, "icon": icon,
            "tone": "info" })
    };
    let viewer = |id: &str, label: &str, value: Value| json!({ "id": id, "component": "KeyValueViewer", "label": label, "value": value, "initialFormat": "json" });
    let options: Vec<Value> = ["Ready to send", "Needs a touch", "Wrong"]
        .map(|text| json!({ "label": text, "value": text }))
        .into();
    let components = json!([
        { "id": "root", "component": "Column", "children": ["numbers", "answer", "pages", "submit"] },
        { "id": "numbers", "component": "Row", "align": "stretch", "children": ["latency", "tokens"] },
        number("latency", "metrics.latency", "Latency", "clock"),
        number("tokens", "metrics.totalTokens", "Tokens", "hash"),
        { "id": "answer", "component": "Card", "child": "answer-column", "renderIfSpan": root },
        { "id": "answer-column", "component": "Column", "children": ["title", "asked", "said", "verdict"] },
        { "id": "title", "component": "Text", "variant": "h4", "text": field(&root, "name") },
        viewer("asked", "Question", field(&root, "inputs")),
        viewer("said", "Answer", field(&root, "outputs")),
        { "id": "verdict", "component": "RadioGroup", "label": "Verdict", "name": "Verdict", "formId": "feedback",
            "spanId": { "$spanRef": root }, "options": options },
        { "id": "pages", "component": "Card", "child": "found", "renderIfSpan": found },
        viewer("found", "Pages of the manual", field(&found, "outputs")),
        { "id": "submit", "component": "FeedbackSubmit", "label": "Save", "formId": "feedback" },
    ]);
    json!({
        "id": "mlflow-demo-answer-review", "name": "Answer review", "label": "Question, answer and what backs it",
        "instruction": "Show question and answer, the pages that were found, and ask for a verdict.",
        "template": [
            { "version": "v0.9", "updateComponents": { "surfaceId": "main", "components": components } }
        ],
        "createdAtMs": 1,
    })
    .to_string()
}

/// Returns the view of the list: sessions with their users, questions and answers.
///
/// # Errors
/// `INTERNAL_ERROR` if its state cannot be packed.
pub fn saved_view(now_ms: i64) -> Result<String> {
    let state = json!({
        "single": { "q": "", "pageSize": "50", "startTimeLabel": "ALL",
            "cols": "start_time,session,input,output,duration,state,tokens" },
        "multi": {},
    });
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(state.to_string().as_bytes()).map_err(Error::internal)?;
    let state = STANDARD.encode(packed.finish().map_err(Error::internal)?);
    Ok(json!({ "name": "Conversations", "createdAt": now_ms, "state": format!("deflate;{state}") })
        .to_string())
}

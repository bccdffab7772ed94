//! The traces of the demo: seven days in which first one assistant answers and then the other.

use serde_json::{Value, json};

use super::{Assistant, KIND, Prompt, Question, TURN, Tool, VERSION, content};
use crate::domain::time::iso_ms;
use crate::domain::trace::{CHAT_USAGE, SESSION, TRACE_NAME, USER};
use crate::domain::{Error, Result};
use crate::proto::TraceInfoV3;
use crate::proto::otlp::{self, ExportTraceServiceRequest};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How many days the demo covers.
const DAYS: i64 = 7;
/// Models that the assistants ask in turn, with who serves them.
const MODELS: [(&str, &str); 3] =
    [("gpt-5.2", "openai"), ("claude-sonnet-4-5", "anthropic"), ("gemini-3-pro", "google")];

/// A trace of the demo.
#[derive(Debug)]
pub struct DemoTrace {
    /// Its id.
    pub id: String,
    /// The id of its first span.
    pub root: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: i64,
    /// What was asked.
    pub question: &'static Question,
    /// Who answered.
    pub assistant: Assistant,
    /// What the answer was made of and what came out: inputs and outputs of the first span.
    pub data: [Value; 2],
    turn: usize,
    spans: Vec<Value>,
}

impl DemoTrace {
    /// Returns what a client says of the trace as a whole.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if that is no trace.
    pub fn info(&self, experiment_id: &str) -> Result<TraceInfoV3> {
        let [inputs, outputs] = &self.data;
        let mut metadata = json!({
            VERSION: self.assistant.name(), KIND: self.question.kind, "mlflow.trace_schema.version": "3",
            "mlflow.traceInputs": inputs.to_string(), "mlflow.traceOutputs": outputs.to_string(),
        });
        if let Some(session) = self.session()
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.insert(SESSION.into(), session.into());
            metadata.insert(USER.into(), self.question.user.as_deref().unwrap_or("user").into());
            metadata.insert(TURN.into(), self.turn.to_string().into());
        }
        let (start, took) = (self.start_ms, self.end_ms - self.start_ms);
        serde_json::from_value(json!({
            "trace_id": self.id,
            "trace_location": { "type": "MLFLOW_EXPERIMENT", "mlflow_experiment": { "experiment_id": experiment_id } },
            "request_time": iso_ms(start),
            "execution_duration": format!("{}.{:03}s", took / 1000, took % 1000),
            "state": "OK",
            "request_preview": self.question.question,
            "response_preview": self.question.answer(self.assistant),
            "trace_metadata": metadata,
            "tags": { TRACE_NAME: self.question.name },
        }))
        .map_err(Error::internal)
    }

    /// Returns its session, which each assistant has for itself.
    pub fn session(&self) -> Option<String> {
        Some(format!("{}-{}", self.question.session.as_deref()?, self.assistant.name()))
    }
}

/// The experiment that traces are made for.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its number.
    pub experiment: i32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// When the days of the demo end.
    pub until_ms: i64,
}

impl Place {
    /// Returns when the days of the demo end, where the first trace begins at this time.
    pub const fn until(first_ms: i64) -> i64 {
        first_ms + DAYS * DAY_MS
    }
}

/// Returns all traces, which end before the days do. The same place gives the same ids and times.
pub fn traces(place: &Place) -> Vec<DemoTrace> {
    let mut made = Vec::new();
    for (half, assistant) in (0..).zip(Assistant::BOTH) {
        let (mut session, mut turn) = (None, 0);
        for (index, question) in content().traces.iter().enumerate() {
            turn = if question.session.is_some() && question.session == session { turn + 1 } else { 1 };
            session.clone_from(&question.session);
            let number = half * content().traces.len() + index;
            made.push(trace(question, assistant, turn, number, place));
        }
    }
    made
}

/// Returns the spans of traces as an exporter sends them.
///
/// # Errors
/// `INTERNAL_ERROR` if those are no spans.
pub fn export(traces: &[DemoTrace]) -> Result<ExportTraceServiceRequest> {
    let spans: Vec<&Value> = traces.iter().flat_map(|trace| &trace.spans).collect();
    let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
    otlp::from_json(request.to_string().as_bytes()).map_err(|_e| Error::internal("the demo has no spans"))
}

fn trace(
    question: &'static Question,
    assistant: Assistant,
    turn: usize,
    index: usize,
    place: &Place,
) -> DemoTrace {
    let count = i64::try_from(content().traces.len() * 2).unwrap_or(i64::MAX);
    let number = i64::try_from(index).unwrap_or_default();
    // spread over the days, at hours that look unplanned, and never past the end
    let start_ms = place.until_ms - DAYS * DAY_MS
        + (number * DAYS * DAY_MS) / count
        + (number * 7_919_000) % (DAY_MS / 6);
    let id = format!("{:08x}{:016x}{index:08x}", place.experiment, place.made_ms);
    let answer = question.answer(assistant);
    let inputs = json!({ "messages": [{ "role": "user", "content": question.question }] });
    let outputs = json!({ "choices": [{ "message": { "role": "assistant", "content": answer } }] });
    let mut spans = Spans { trace_id: id.clone(), index, start_ms, clock_ms: start_ms + 2, made: Vec::new() };
    let root = format!("{index:08x}00000001");
    let chat = match question.kind.as_str() {
        "rag" => retrieval(&mut spans, &root, question),
        "prompt" => rendered(&mut spans, &root, question, assistant),
        _ => called(&mut spans, &root, question),
    };
    let (model, provider) = MODELS.get((index + index / 4) % MODELS.len()).copied().unwrap_or_default();
    let asked = json!({ "messages": chat, "model": model });
    let tokens = [asked.to_string().len() / 4, answer.len() / 4 + 1];
    let took_ms = 400 + 130 * (number % 9);
    spans.span(
        &root,
        ["ask_model", "LLM"],
        took_ms,
        [&asked, &outputs],
        model_attributes(model, provider, tokens),
    );
    let kind = if question.kind == "rag" || question.kind == "prompt" { "CHAIN" } else { "AGENT" };
    let end_ms = spans.end_root(&root, [&question.name, kind], [&inputs, &outputs]);
    DemoTrace {
        id: format!("tr-{id}"),
        root,
        start_ms,
        end_ms,
        question,
        assistant,
        data: [inputs, outputs],
        turn,
        spans: spans.made,
    }
}

fn retrieval(spans: &mut Spans, root: &str, question: &Question) -> Vec<Value> {
    let asked = json!({ "text": question.question });
    spans.span(root, ["embed", "EMBEDDING"], 35, [&asked, &json!({ "dimensions": 384 })], Vec::new());
    let found = json!(question.documents);
    let query = json!({ "query": question.question, "top_k": 3 });
    spans.span(root, ["retrieve", "RETRIEVER"], 120, [&query, &found], Vec::new());
    let context = format!("Answer from these pages only: {found}");
    vec![
        json!({ "role": "system", "content": context }),
        json!({ "role": "user", "content": question.question }),
    ]
}

fn rendered(spans: &mut Spans, root: &str, question: &Question, assistant: Assistant) -> Vec<Value> {
    let Some(used) = &question.prompt else { return Vec::new() };
    let prompt = content().prompts.iter().find(|prompt| prompt.name == used.name);
    let number = used.version(assistant);
    let text = prompt.and_then(|prompt: &Prompt| prompt.versions.get(number.saturating_sub(1)));
    let mut text = text.map(|version| version.text().1).unwrap_or_default();
    for (name, value) in &used.variables {
        text = text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default());
    }
    let asked = json!({ "prompt": used.name, "version": number, "variables": used.variables });
    spans.span(root, ["render_prompt", "CHAIN"], 4, [&asked, &json!({ "text": text })], Vec::new());
    match serde_json::from_str(&text) {
        Ok(Value::Array(messages)) => messages,
        _ => vec![json!({ "role": "user", "content": text })],
    }
}

fn called(spans: &mut Spans, root: &str, question: &Question) -> Vec<Value> {
    let mut chat = vec![
        json!({ "role": "system", "content": "You are the assistant of a bicycle shop. Use the tools." }),
        json!({ "role": "user", "content": question.question }),
    ];
    for (number, Tool { name, input, output }) in (1..).zip(&question.tools) {
        let id = format!("call_{number}");
        let call = json!([{ "id": id, "type": "function",
            "function": { "name": name, "arguments": input.to_string() } }]);
        chat.push(json!({ "role": "assistant", "content": null, "tool_calls": call }));
        chat.push(json!({ "role": "tool", "tool_call_id": id, "content": output.to_string() }));
        spans.span(root, [name, "TOOL"], 60 + 45 * number, [input, output], Vec::new());
    }
    chat
}

fn model_attributes(model: &str, provider: &str, [asked, answered]: [usize; 2]) -> Vec<Value> {
    let usage = json!({ "input_tokens": asked, "output_tokens": answered, "total_tokens": asked + answered });
    vec![
        attribute(CHAT_USAGE, &usage),
        attribute("mlflow.llm.model", &json!(model)),
        attribute("mlflow.llm.provider", &json!(provider)),
    ]
}

/// An attribute as MLflow's client writes it: JSON in a text.
fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": { "stringValue": value.to_string() } })
}

/// The spans of one trace, one after the other below the first.
struct Spans {
    trace_id: String,
    index: usize,
    start_ms: i64,
    clock_ms: i64,
    made: Vec<Value>,
}

impl Spans {
    /// An id for the next span; the first span has its own from the beginning.
    fn id(&self) -> String {
        format!("{:08x}{:08x}", self.index, self.made.len() + 2)
    }

    /// Adds a span that follows the one before; `more` are attributes.
    fn span(&mut self, parent: &str, what: [&str; 2], took_ms: i64, data: [&Value; 2], more: Vec<Value>) {
        let ids = [&self.id(), parent];
        let times = [self.clock_ms, self.clock_ms + took_ms];
        self.clock_ms += took_ms + 1;
        self.add(ids, what, times, data, more);
    }

    /// Adds the first span around all others and returns when it ends.
    fn end_root(&mut self, id: &str, what: [&str; 2], data: [&Value; 2]) -> i64 {
        let end_ms = self.clock_ms + 3;
        self.add([id, ""], what, [self.start_ms, end_ms], data, Vec::new());
        end_ms
    }

    fn add(
        &mut self,
        [id, parent]: [&str; 2],
        [name, kind]: [&str; 2],
        [start_ms, end_ms]: [i64; 2],
        [inputs, outputs]: [&Value; 2],
        more: Vec<Value>,
    ) {
        let mut attributes = vec![
            attribute("mlflow.traceRequestId", &json!(format!("tr-{}", self.trace_id))),
            attribute("mlflow.spanType", &json!(kind)),
            attribute("mlflow.spanInputs", inputs),
            attribute("mlflow.spanOutputs", outputs),
        ];
        attributes.extend(more);
        self.made.push(json!({
            "traceId": self.trace_id, "spanId": id, "parentSpanId": parent, "name": name,
            "startTimeUnixNano": (start_ms * 1_000_000).to_string(),
            "endTimeUnixNano": (end_ms * 1_000_000).to_string(),
            "status": { "code": "STATUS_CODE_OK" }, "attributes": attributes,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::info::NewTrace;
    use crate::domain::trace::prices::Prices;
    use crate::domain::trace::span::NewSpans;

    #[test]
    fn every_trace_lies_within_the_days_before_now_and_can_be_stored() {
        let now = 1_800_000_000_000;
        let place = Place { experiment: 7, made_ms: now - 5, until_ms: now };
        let made = traces(&place);
        assert_eq!(Place::until(made[0].start_ms), now);
        assert_eq!(made.len(), content().traces.len() * 2);
        for trace in &made {
            assert!(
                trace.start_ms >= now - DAYS * DAY_MS && trace.start_ms < trace.end_ms && trace.end_ms < now
            );
            let new = NewTrace::try_from(trace.info("1").unwrap()).unwrap();
            assert_eq!(new.timestamp_ms, trace.start_ms);
            assert_eq!(new.execution_time_ms, Some(trace.end_ms - trace.start_ms));
        }
        let spans = NewSpans::convert(1, &export(&made).unwrap(), &Prices::default()).unwrap();
        assert_eq!(spans.traces.len(), made.len());
        for trace in &spans.traces {
            let counted = trace.usage.iter().filter(|node| node.data.is_some()).count();
            assert!(trace.spans.len() > 1 && counted == 1, "{}", trace.trace_id);
        }
    }
}

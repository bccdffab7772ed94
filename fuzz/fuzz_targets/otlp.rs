//! OTLP exports, as protobuf and as JSON. The counts taken before decoding must be upper bounds for the
//! decoded messages and memory.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use ferroflow::domain::trace::prices::Prices;
use ferroflow::domain::trace::size;
use ferroflow::domain::trace::span::{NewSpans, Refused};
use ferroflow::domain::validate::{Limits, check_values};
use ferroflow::proto::otlp::count::Counts;
use ferroflow::proto::otlp::{
    AnyValue, ExportTraceServiceRequest, KeyValue, Value, from_json, from_protobuf,
};
use ferroflow::proto::outline::Outline;
use ferroflow_fuzz::{is_refusal, within};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

static PRICES: LazyLock<Prices> = LazyLock::new(|| Prices::read(Path::new("/nowhere")));

/// As `api/otlp.rs` has it.
const COPIES: usize = 3;
/// As `api/body.rs` has it.
const VALUE_SIZE: usize = 128;
/// Not counted: lists reserve capacity for some items, and errors name each enclosing message.
const ROOM: usize = 16 * 1024;

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    let counts = Counts::of_protobuf(body, &size::most(&limits));
    if size::check(&counts, &limits).is_ok() {
        let most = counts.memory() + COPIES * body.len() + ROOM;
        if let Ok(request) = within(most, || from_protobuf(body)) {
            is_bound(&actual(&request), &counts);
            // Round-trips, whatever was left out.
            let again = request.encode_to_vec();
            assert_eq!(from_protobuf(&again).map(|again| again.encode_to_vec()).as_ref(), Ok(&again));
            assert_eq!(Counts::of_protobuf(&again, &size::most(&limits)), actual(&request));
            convert(&request, body.len());
        }
    }
    let outline = Outline::of(body, &Counts::LISTS);
    let counts = Counts::of_json(&outline);
    if check_values(&outline, &limits).is_ok() && size::check(&counts, &limits).is_ok() {
        let most = counts.memory() + outline.values * VALUE_SIZE + COPIES * body.len() + ROOM;
        if let Ok(request) = within(most, || from_json(body)) {
            let made = actual(&request);
            assert!(made.attributes + made.values <= 2 * outline.values, "{made:?} of {outline:?}");
            is_bound(&Counts { values: 0, attributes: 0, ..made }, &counts);
            assert_eq!(
                from_protobuf(&request.encode_to_vec()).map(|again| actual(&again)),
                Ok(actual(&request))
            );
            convert(&request, body.len());
        }
    }
});

#[track_caller]
fn is_bound(made: &Counts, counted: &Counts) {
    let is_bound = made.resources <= counted.resources
        && made.scopes <= counted.scopes
        && made.spans <= counted.spans
        && made.events <= counted.events
        && made.links <= counted.links
        && made.attributes <= counted.attributes
        && made.values <= counted.values;
    assert!(is_bound, "made: {made:?}, counted: {counted:?}");
}

fn convert(request: &ExportTraceServiceRequest, sent: usize) {
    match NewSpans::convert(1, request, &PRICES) {
        Ok(spans) => assert!(spans.len() <= actual(request).spans),
        Err(Refused::Invalid(error)) => is_refusal(&error, sent),
        Err(Refused::NoIds | Refused::OutOfRange) => {}
    }
}

/// Counts the messages of a request.
fn actual(request: &ExportTraceServiceRequest) -> Counts {
    let mut counts = Counts { resources: request.resource_spans.len(), ..Counts::default() };
    for group in &request.resource_spans {
        if let Some(resource) = &group.resource {
            add_pairs(&mut counts, &resource.attributes);
            // Entities of a resource, and their strings.
            counts.values += resource.entity_refs.len();
            let texts = resource.entity_refs.iter().map(|e| e.id_keys.len() + e.description_keys.len());
            counts.values += texts.sum::<usize>();
        }
        counts.scopes += group.scope_spans.len();
        for scope in &group.scope_spans {
            if let Some(scope) = &scope.scope {
                add_pairs(&mut counts, &scope.attributes);
            }
            counts.spans += scope.spans.len();
            for span in &scope.spans {
                add_pairs(&mut counts, &span.attributes);
                counts.events += span.events.len();
                span.events.iter().for_each(|event| add_pairs(&mut counts, &event.attributes));
                counts.links += span.links.len();
                span.links.iter().for_each(|link| add_pairs(&mut counts, &link.attributes));
            }
        }
    }
    counts
}

fn add_pairs(counts: &mut Counts, pairs: &[KeyValue]) {
    counts.attributes += pairs.len();
    pairs.iter().filter_map(|pair| pair.value.as_ref()).for_each(|value| add_value(counts, value));
}

fn add_value(counts: &mut Counts, value: &AnyValue) {
    counts.values += 1;
    match &value.value {
        Some(Value::ArrayValue(list)) => list.values.iter().for_each(|value| add_value(counts, value)),
        Some(Value::KvlistValue(list)) => add_pairs(counts, &list.values),
        _ => {}
    }
}

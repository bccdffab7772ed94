//! What other instrumentations than MLflow's call the things that MLflow shows of a span: its type, inputs, outputs,
//! tokens, model, tools and format of messages. Each is a row of a table; what a row cannot say is in `special.rs`.
//!
//! Upstream: `mlflow.tracing.otel.translation`.

mod special;
mod table;

use serde_json::Value as Tree;

use super::CHAT_USAGE;
use super::attributes::{self, Attributes, dump_text, is_empty, parse};
use super::span::{CHAT_TOOLS, INPUTS, MESSAGE_FORMAT, MODEL, OUTPUTS, PROVIDER, SPAN_TYPE};
use crate::domain::python;
use crate::proto::loose;
use crate::proto::otlp::{Event, Value};
use table::{DIALECTS, Dialect, Special};

/// Adds to the attributes of a span what they say in another dialect. What is there already stays.
///
/// Upstream: `translate_span_when_storing`.
pub(super) fn translate(attributes: &mut Attributes, events: &[Event]) {
    let is_foreign = attributes.iter().any(|(name, _)| !name.starts_with("mlflow.")) || !events.is_empty();
    if is_foreign {
        translate_foreign(attributes, events);
    }
    if !attributes.has(MODEL)
        && let Some(model) = model_name(attributes, is_foreign)
    {
        attributes.set(MODEL, model);
    }
    if is_foreign && !attributes.has(PROVIDER) {
        let provider = |d: &Dialect| value_of(attributes, d.provider?).map(str::to_owned);
        if let Some(provider) = DIALECTS.iter().find_map(provider) {
            attributes.set(PROVIDER, provider);
        }
    }
}

fn translate_foreign(attributes: &mut Attributes, events: &[Event]) {
    let known = attributes.get(SPAN_TYPE).filter(|json| !matches!(*json, "null" | "\"UNKNOWN\""));
    if known.is_none()
        && let Some(kind) = span_type(attributes)
    {
        attributes.set(SPAN_TYPE, dump_text(kind));
    }
    if !attributes.has(INPUTS)
        && let Some(value) = inputs(attributes, events)
    {
        attributes.set(INPUTS, value);
    }
    if !attributes.has(OUTPUTS)
        && let Some(value) = outputs(attributes, events)
    {
        attributes.set(OUTPUTS, value);
    }
    if !attributes.has(CHAT_USAGE)
        && let Some(usage) = DIALECTS.iter().find_map(|d| token_usage(d, attributes))
    {
        attributes.set(CHAT_USAGE, usage);
    }
    if !attributes.has(MESSAGE_FORMAT)
        && let Some(format) = DIALECTS.iter().find_map(|d| special::message_format(d, attributes))
    {
        attributes.set(MESSAGE_FORMAT, dump_text(format));
    }
    if !attributes.has(CHAT_TOOLS)
        && let Some(tools) = DIALECTS.iter().find_map(|d| first_of(attributes, d.tools)).map(str::to_owned)
    {
        attributes.set(CHAT_TOOLS, tools);
    }
}

/// Returns the type that a span has in another dialect. Upstream: `translate_span_type_from_otel`.
pub fn span_type(attributes: &Attributes) -> Option<&'static str> {
    DIALECTS.iter().find_map(|d| match d.special {
        Special::GeminiCli if !special::is_gemini_cli(attributes) => None,
        Special::ClaudeCode => special::claude_code_type(attributes).and_then(|kind| look_up(d.kinds, kind)),
        Special::LiveKit => special::livekit_type(d, attributes),
        _ => d.kind.iter().find_map(|key| look_up(d.kinds, &special::text(attributes, key)?)),
    })
}

fn look_up(kinds: &[(&str, &'static str)], kind: &str) -> Option<&'static str> {
    kinds.iter().find(|(name, _)| *name == kind).map(|(_, ours)| *ours)
}

fn inputs(attributes: &mut Attributes, events: &[Event]) -> Option<String> {
    for d in &DIALECTS {
        let value = match d.special {
            Special::GeminiCli => special::gemini_inputs(attributes),
            Special::ClaudeCode => special::claude_code_inputs(attributes),
            Special::VercelAi if special::is_vercel_chat(attributes) => {
                let value = special::unpack(attributes, "ai.prompt.");
                attributes.set(MESSAGE_FORMAT, "vercel_ai".to_owned());
                value
            }
            _ => value_in(attributes, d.inputs),
        };
        if value.is_some() {
            return value;
        }
    }
    special::prompt_of_events(events).or_else(|| special::messages_of_events(events))
}

fn outputs(attributes: &Attributes, events: &[Event]) -> Option<String> {
    let of_dialect = |d: &Dialect| match d.special {
        Special::GeminiCli => special::gemini_outputs(attributes),
        Special::ClaudeCode => special::claude_code_outputs(attributes),
        Special::VercelAi if special::is_vercel_chat(attributes) => {
            special::unpack(attributes, "ai.response.")
        }
        _ => value_in(attributes, d.outputs),
    };
    let of_events = || {
        let choices = special::completion_of_events(events).or_else(|| special::choices_of_events(events));
        choices.or_else(|| special::claude_code_output_of_events(attributes, events))
    };
    DIALECTS.iter().find_map(of_dialect).or_else(of_events)
}

/// Returns an attribute that is there and not empty.
fn value_of<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
    attributes.get(key).filter(|json| !is_empty(json))
}

fn first_of<'a>(attributes: &'a Attributes, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| value_of(attributes, key))
}

/// The same, where a `#` in a key stands for a number.
fn value_in(attributes: &Attributes, keys: &[&str]) -> Option<String> {
    let find = |key: &&str| {
        if !key.contains('#') {
            return value_of(attributes, key);
        }
        let fits = |(name, json): &(&str, &str)| starts_like(name, key) && !is_empty(json);
        attributes.iter().find(fits).map(|(_, json)| json)
    };
    keys.iter().find_map(find).map(str::to_owned)
}

/// Says whether `name` begins as `pattern` says, where `#` is a number.
fn starts_like(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    for (i, part) in pattern.split('#').enumerate() {
        if i > 0 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            rest = rest.get(digits..).unwrap_or_default();
            if digits == 0 {
                return false;
            }
        }
        let Some(after) = rest.strip_prefix(part) else { return false };
        rest = after;
    }
    true
}

/// Upstream: `_get_token_usage`.
fn token_usage(d: &Dialect, attributes: &Attributes) -> Option<String> {
    let count = |key: &&str| attributes.get(key).and_then(int_of);
    let mut counts = match d.special {
        Special::ClaudeCode => special::claude_code_tokens(d, attributes)?,
        // The first that is there counts, whatever it is.
        _ => d.tokens.map(|keys| keys.iter().find(|key| attributes.has(key)).and_then(count)),
    };
    if let [Some(input), Some(output), total @ None, ..] = &mut counts {
        *total = Some(*input + *output);
    }
    counts.iter().take(3).find(|count| count.is_some())?;
    let fields: Vec<String> = super::TOKEN_KEYS
        .iter()
        .zip(counts)
        .filter_map(|(key, count)| Some(format!("\"{key}\": {}", count?)))
        .collect();
    Some(format!("{{{}}}", fields.join(", ")))
}

/// Upstream: `_parse_int_attribute`.
fn int_of(json: &str) -> Option<i64> {
    match parse(json)? {
        Tree::Number(number) => number.as_i64(),
        Tree::String(text) => loose::int(&text).and_then(|number| i64::try_from(number).ok()),
        Tree::Bool(value) => Some(value.into()),
        _ => None,
    }
}

/// Returns the JSON of the model's name; the last place to look are inputs and outputs. Upstream: `_get_model_name`.
fn model_name(attributes: &Attributes, is_foreign: bool) -> Option<String> {
    let of_dialect = |d: &Dialect| first_of(attributes, d.models).map(str::to_owned);
    if let Some(model) = is_foreign.then(|| DIALECTS.iter().find_map(of_dialect)).flatten() {
        return Some(model);
    }
    for name in [INPUTS, OUTPUTS] {
        let Some(json) = attributes.get(name).filter(|json| json.contains("\"model\"")) else { continue };
        match parse(json).as_ref().and_then(|value| value.get("model")) {
            Some(Tree::String(model)) if !model.is_empty() => return Some(dump_text(model)),
            Some(Tree::Null | Tree::String(_)) | None => {}
            // Something that is no name ends the search.
            Some(other) if !is_empty(&python::json_dumps(other)) => return None,
            Some(_) => {}
        }
    }
    None
}

/// Returns the text of an event's attribute; the JSON of one that is no text.
fn event_text(event: &Event, name: &str) -> Option<String> {
    let pair = event.attributes.iter().rfind(|pair| pair.key == name)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        value => Some(attributes::dump(Some(value))),
    }
    .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;

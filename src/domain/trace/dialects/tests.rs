//! Expected values are those of stock, whose answers `compat-tests/differential/otlp.py` compares.

use super::*;
use crate::proto::otlp::{AnyValue, KeyValue};

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn translated(pairs: &[KeyValue], events: &[Event]) -> Attributes {
    let mut attributes = Attributes::from_otlp(pairs);
    translate(&mut attributes, events);
    attributes
}

#[test]
fn types_of_other_dialects_are_known() {
    for (key, kind, want) in [
        ("openinference.span.kind", "LLM", Some("\"LLM\"")),
        ("gen_ai.operation.name", "chat", Some("\"CHAT_MODEL\"")),
        ("gen_ai.operation.name", "CHAT", Some("\"CHAT_MODEL\"")),
        ("gen_ai.operation.name", "other", None),
        ("gen_ai.request.model", "m", Some("\"LLM\"")),
        ("traceloop.span.kind", "workflow", Some("\"WORKFLOW\"")),
        ("ai.operationId", "ai.embedMany", Some("\"EMBEDDING\"")),
        ("span.type", "llm_request", Some("\"LLM\"")),
        ("span.type", "memory", Some("\"MEMORY\"")),
        ("entity.type", "agent", Some("\"AGENT\"")),
        ("lmnr.span.type", "PIPELINE", Some("\"CHAIN\"")),
        ("langfuse.observation.type", "generation", Some("\"LLM\"")),
        ("lk.agent_name", "a", Some("\"AGENT\"")),
    ] {
        assert_eq!(translated(&[text(key, kind)], &[]).get(SPAN_TYPE), want, "{key} {kind}");
    }
    let kept = translated(&[text("openinference.span.kind", "LLM"), text(SPAN_TYPE, "TOOL")], &[]);
    assert_eq!(kept.get(SPAN_TYPE), Some("\"TOOL\""));
}

#[test]
fn usage_model_and_messages_are_found() {
    let found = translated(
        &[
            text("gen_ai.operation.name", "chat"),
            pair("gen_ai.usage.input_tokens", Value::IntValue(12)),
            text("gen_ai.usage.output_tokens", "8"),
            text("gen_ai.request.model", "asked"),
            text("gen_ai.response.model", "given"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.input.messages", "[{\"role\": \"user\"}]"),
            text("gen_ai.output.messages", "[]"),
        ],
        &[],
    );
    for (name, want) in [
        (CHAT_USAGE, Some(r#"{"input_tokens": 12, "output_tokens": 8, "total_tokens": 20}"#)),
        (MODEL, Some("\"given\"")),
        (PROVIDER, Some("\"openai\"")),
        (INPUTS, Some("[{\"role\": \"user\"}]")),
        (OUTPUTS, None),
    ] {
        assert_eq!(found.get(name), want, "{name}");
    }
}

#[test]
fn numbered_attributes_and_models_in_inputs_are_found() {
    let found =
        translated(&[text("gen_ai.prompt.0.role", "user"), text("gen_ai.prompt.0.content", "hi")], &[]);
    assert_eq!(found.get(INPUTS), Some("\"hi\""));
    let found = translated(&[text(INPUTS, r#"{"model": "gpt-4o", "messages": []}"#)], &[]);
    assert_eq!(found.get(MODEL), Some("\"gpt-4o\""));
    assert!(!translated(&[text(INPUTS, r#"{"model": 5}"#)], &[]).has(MODEL));
}

#[test]
fn events_are_messages() {
    let event = |name: &str, pairs: &[KeyValue]| Event {
        name: name.to_owned(),
        attributes: pairs.to_vec(),
        ..Event::default()
    };
    let found = translated(
        &[],
        &[
            event("gen_ai.user.message", &[text("content", "hé")]),
            event("gen_ai.choice", &[text("content", "{\"a\": 1}"), text("role", "model")]),
        ],
    );
    assert_eq!(found.get(INPUTS), Some(r#"[{"role": "user", "content": "h\u00e9"}]"#));
    assert_eq!(found.get(OUTPUTS), Some(r#"[{"role": "model", "content": {"a": 1}}]"#));
    let found = translated(&[], &[event("gen_ai.content.prompt", &[text("gen_ai.prompt", "plain")])]);
    assert_eq!(found.get(INPUTS), Some("plain"));
}

#[test]
fn chats_of_vercel_are_unpacked() {
    let found = translated(
        &[
            text("ai.operationId", "ai.generateText.doGenerate"),
            text("ai.prompt.messages", "[{\"role\":\"user\"}]"),
            text("ai.response.text", "yes"),
        ],
        &[],
    );
    assert_eq!(found.get(INPUTS), Some(r#"{"messages": [{"role": "user"}]}"#));
    assert_eq!(found.get(OUTPUTS), Some(r#"{"text": "yes"}"#));
    assert_eq!(found.get(MESSAGE_FORMAT), Some("vercel_ai"));
}

#[test]
fn tokens_of_caches_are_input_of_claude_code() {
    let found = translated(
        &[
            text("span.type", "claude_code.llm_request"),
            pair("input_tokens", Value::IntValue(3)),
            pair("output_tokens", Value::IntValue(4)),
            pair("cache_read_tokens", Value::IntValue(10)),
            text("new_context", "<REDACTED>"),
        ],
        &[],
    );
    assert_eq!(
        found.get(CHAT_USAGE),
        Some(
            r#"{"input_tokens": 13, "output_tokens": 4, "total_tokens": 17, "cache_read_input_tokens": 10}"#
        )
    );
    assert!(!found.has(INPUTS));
}

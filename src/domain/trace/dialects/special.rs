//! What single dialects do beyond their row of the table.

use serde_json::{Map, Value as Tree, json};

use super::table::{Dialect, Special};
use super::{event_text, int_of, look_up, value_of};
use crate::domain::python::json_dumps;
use crate::domain::trace::attributes::{Attributes, dump_text, dump_tree, parse};
use crate::domain::trace::usage::whole;
use crate::proto::otlp::Event;

const REDACTED: &str = "<REDACTED>";
const LLM_REQUEST: &str = "claude_code.llm_request";
const INTERACTION: &str = "claude_code.interaction";
const TOOL: &str = "claude_code.tool";

/// Returns the text that an attribute is; `None` if it is something else.
pub(super) fn text(attributes: &Attributes, key: &str) -> Option<String> {
    match attributes.tree(key)? {
        Tree::String(text) => Some(text),
        _ => None,
    }
}

/// Returns what the messages of a span look like, if its dialect is known by an attribute.
pub(super) fn message_format(d: &Dialect, attributes: &Attributes) -> Option<&'static str> {
    let has = |name: &str| attributes.has(name);
    match d.special {
        Special::GeminiCli if is_gemini_cli(attributes) => Some("gemini"),
        Special::VoltAgent if has("voltagent.operation_id") || has("voltagent.conversation_id") => {
            Some("voltagent")
        }
        Special::LiveKit if attributes.iter().any(|(name, _)| name.starts_with("lk.")) => Some("livekit"),
        Special::Laminar if has("lmnr.span.type") => Some("openai"),
        _ => None,
    }
}

/// Upstream: `LiveKitTranslator.translate_span_type`.
pub(super) fn livekit_type(d: &Dialect, attributes: &Attributes) -> Option<&'static str> {
    if attributes.has("gen_ai.request.model") {
        return Some("LLM");
    }
    let operation = text(attributes, "gen_ai.operation.name").map(|name| name.to_lowercase());
    if let Some(kind) = operation.and_then(|name| look_up(d.kinds, &name)) {
        return Some(kind);
    }
    attributes.iter().find_map(|(name, _)| match name {
        "lk.retry_count" => Some("LLM"),
        name if name.starts_with("lk.function_tool") => Some("TOOL"),
        "lk.agent_name" | "lk.instructions" | "lk.generation_id" => Some("AGENT"),
        "lk.input_text" | "lk.user_transcript" | "lk.transcript_confidence" | "lk.transcription_delay" => {
            Some("UNKNOWN")
        }
        name if name.starts_with("lk.tts") => Some("UNKNOWN"),
        _ => None,
    })
}

pub(super) fn is_gemini_cli(attributes: &Attributes) -> bool {
    text(attributes, "gen_ai.agent.name").is_some_and(|name| name == "gemini-cli")
}

/// Wraps messages as the user interface wants those of Gemini. Upstream: `GeminiCliTranslator._try_wrap_input`.
pub(super) fn gemini_inputs(attributes: &Attributes) -> Option<String> {
    if !is_gemini_cli(attributes) {
        return None;
    }
    let keys = ["gen_ai.input.messages", "gen_ai.tool.call.arguments"];
    let json = keys.iter().find_map(|key| value_of(attributes, key))?;
    match parse(json)? {
        contents @ (Tree::Array(_) | Tree::String(_)) => Some(json_dumps(&json!({ "contents": contents }))),
        _ => Some(json.to_owned()),
    }
}

/// Puts the parts of all messages into one. Upstream: `GeminiCliTranslator._try_wrap_output`.
pub(super) fn gemini_outputs(attributes: &Attributes) -> Option<String> {
    if !is_gemini_cli(attributes) {
        return None;
    }
    let keys = ["gen_ai.output.messages", "gen_ai.tool.call.result"];
    let json = keys.iter().find_map(|key| value_of(attributes, key))?;
    let tree = parse(json)?;
    let parts_of =
        |message: &Tree| message.get("parts").and_then(Tree::as_array).cloned().unwrap_or_default();
    let parts: Vec<Tree> = tree.as_array().into_iter().flatten().flat_map(parts_of).collect();
    if parts.is_empty() {
        return Some(json.to_owned());
    }
    Some(json_dumps(&json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }] })))
}

/// Returns the kind of a span of Claude Code, with its prefix.
pub(super) fn claude_code_type(attributes: &Attributes) -> Option<&'static str> {
    let kind = text(attributes, "span.type")?;
    let bare = kind.strip_prefix("claude_code.").unwrap_or(&kind);
    [INTERACTION, LLM_REQUEST, TOOL]
        .into_iter()
        .find(|known| known.strip_prefix("claude_code.") == Some(bare))
}

fn claude_code_content<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
    let is_shown = |json: &&str| parse(json) != Some(REDACTED.into());
    value_of(attributes, key).filter(is_shown)
}

/// Returns counts of input, output, total, read from a cache and written to one. What is read from a cache and written
/// to one is not part of the input that Claude Code tells of, but of MLflow's.
pub(super) fn claude_code_tokens(d: &Dialect, attributes: &Attributes) -> Option<[Option<i64>; 5]> {
    if claude_code_type(attributes)? != LLM_REQUEST {
        return None;
    }
    let [input, output, total, read, written] =
        d.tokens.map(|keys| keys.first().and_then(|key| attributes.get(key)).and_then(whole_of));
    let input = input.map(|input| input + read.unwrap_or_default() + written.unwrap_or_default());
    Some([input, output, total, read, written])
}

/// Upstream: `ClaudeCodeTranslator._get_int`, which cuts fractions off.
fn whole_of(json: &str) -> Option<i64> {
    let cut = || parse(json)?.as_f64().map(f64::trunc).and_then(whole);
    int_of(json).or_else(cut)
}

pub(super) fn claude_code_inputs(attributes: &Attributes) -> Option<String> {
    let content = |key| claude_code_content(attributes, key);
    match claude_code_type(attributes)? {
        INTERACTION => content("user_prompt").or_else(|| content("new_context")).map(str::to_owned),
        LLM_REQUEST => content("new_context").map(str::to_owned),
        _ => content("tool_input").map(str::to_owned).or_else(|| {
            let keys = ["full_command", "file_path", "skill_name", "subagent_type"];
            let details: Map<String, Tree> =
                keys.iter().filter_map(|key| Some(((*key).to_owned(), parse(content(key)?)?))).collect();
            (!details.is_empty()).then(|| json_dumps(&Tree::Object(details)))
        }),
    }
}

pub(super) fn claude_code_outputs(attributes: &Attributes) -> Option<String> {
    let key = match claude_code_type(attributes)? {
        LLM_REQUEST => "response.model_output",
        TOOL => "new_context",
        _ => return None,
    };
    claude_code_content(attributes, key).map(str::to_owned)
}

pub(super) fn claude_code_output_of_events(attributes: &Attributes, events: &[Event]) -> Option<String> {
    if claude_code_type(attributes)? != TOOL {
        return None;
    }
    let of_event = |event: &Event| {
        let shown = |key: &&str| event_text(event, key).filter(|text| text != REDACTED);
        ["output", "content", "diff"].iter().find_map(shown)
    };
    let text = events.iter().filter(|event| event.name == "tool.output").find_map(of_event)?;
    Some(parse(&text).map_or_else(|| dump_text(&text), |tree| dump_tree(&tree)))
}

pub(super) fn is_vercel_chat(attributes: &Attributes) -> bool {
    text(attributes, "ai.operationId")
        .is_some_and(|kind| matches!(kind.as_str(), "ai.generateText.doGenerate" | "ai.streamText.doStream"))
}

/// Makes an object of the attributes whose names begin with `prefix`.
pub(super) fn unpack(attributes: &Attributes, prefix: &str) -> Option<String> {
    let field = |(name, json): (&str, &str)| Some((name.strip_prefix(prefix)?.to_owned(), decode(json, 2)));
    let mut fields: Map<String, Tree> = attributes.iter().filter_map(field).collect();
    if let Some(Tree::Array(tools)) = fields.get_mut("tools") {
        for tool in tools {
            if let Tree::String(text) = tool {
                *tool = decode(text, 2);
            }
        }
    }
    (!fields.is_empty()).then(|| json_dumps(&Tree::Object(fields)))
}

/// Reads JSON in JSON in JSON.
fn decode(json: &str, depth: u32) -> Tree {
    match parse(json) {
        Some(Tree::String(text)) if depth > 0 => decode(&text, depth - 1),
        Some(tree) => tree,
        None => json.into(),
    }
}

/// Upstream: `SpringAiTranslator`.
pub(super) fn prompt_of_events(events: &[Event]) -> Option<String> {
    events
        .iter()
        .filter(|event| event.name == "gen_ai.content.prompt")
        .find_map(|e| event_text(e, "gen_ai.prompt"))
}

pub(super) fn completion_of_events(events: &[Event]) -> Option<String> {
    let of_event = |event: &Event| event_text(event, "gen_ai.completion");
    events.iter().filter(|event| event.name == "gen_ai.content.completion").find_map(of_event)
}

/// Makes messages of the events of the semantic conventions. Upstream: `GenAiTranslator.get_input_value_from_events`.
pub(super) fn messages_of_events(events: &[Event]) -> Option<String> {
    let message = |event: &Event| {
        let role = event.name.strip_prefix("gen_ai.")?.strip_suffix(".message")?;
        let is_input = matches!(role, "system" | "user" | "assistant");
        let content = event_text(event, "content").filter(|_| is_input)?;
        Some(json!({ "role": role, "content": decode(&content, 0) }))
    };
    list_of(events.iter().filter_map(message))
}

pub(super) fn choices_of_events(events: &[Event]) -> Option<String> {
    let choice = |event: &Event| {
        let content = event_text(event, "content").filter(|_| event.name == "gen_ai.choice")?;
        let role = event_text(event, "role").map_or_else(|| "assistant".into(), |role| decode(&role, 0));
        Some(json!({ "role": role, "content": decode(&content, 0) }))
    };
    list_of(events.iter().filter_map(choice))
}

fn list_of(messages: impl Iterator<Item = Tree>) -> Option<String> {
    let messages: Vec<Tree> = messages.collect();
    (!messages.is_empty()).then(|| json_dumps(&Tree::Array(messages)))
}

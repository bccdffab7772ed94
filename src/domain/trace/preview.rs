//! What lists of traces show of inputs and outputs: the last message of a chat, or the beginning of the JSON.
//!
//! Upstream: `mlflow.tracing.utils.truncation`.

use serde_json::Value as Tree;

use super::attributes::parse;

/// The most characters of a preview.
const MAX_LENGTH: usize = 1000;

/// Returns the preview of inputs (`role` is `user`) or outputs (`assistant`).
pub fn preview(json: &str, role: &str) -> String {
    let messages_may_be = ["\"messages\"", "\"choices\"", "\"input\"", "\"output\"", "\"request\""];
    let tree = messages_may_be.iter().any(|name| json.contains(name)).then(|| parse(json)).flatten();
    let content = tree.as_ref().and_then(messages_of).and_then(|messages| last_text(&messages, role));
    let text = content.filter(|text| !text.is_empty()).unwrap_or_else(|| json.to_owned());
    if text.chars().count() <= MAX_LENGTH {
        return text;
    }
    text.chars().take(MAX_LENGTH - 3).chain("...".chars()).collect()
}

/// Finds the messages in requests and answers of the usual interfaces; `None` where there are none.
fn messages_of(tree: &Tree) -> Option<Vec<&Tree>> {
    let list = |name: &str| tree.get(name).and_then(Tree::as_array).filter(|list| !list.is_empty());
    let of = |list: &'_ [Tree]| list.iter().filter(|item| is_message(item)).count();
    if let Some(list) = list("messages") {
        return (of(list) > 0).then(|| list.iter().filter(|item| is_message(item)).collect());
    }
    let choice = list("choices").and_then(|choices| choices.first()).and_then(|choice| choice.get("message"));
    if let Some(message) = choice.filter(|message| is_message(message)) {
        return Some(vec![message]);
    }
    for name in ["input", "output"] {
        if let Some(list) = list(name) {
            return (of(list) > 0).then(|| list.iter().filter(|item| is_message(item)).collect());
        }
    }
    tree.as_object()?.get("request").and_then(messages_of)
}

fn is_message(item: &Tree) -> bool {
    item.get("role").is_some() && item.get("content").is_some()
}

/// Returns the text of the last message of `role`, or of the last of all.
fn last_text(messages: &[&Tree], role: &str) -> Option<String> {
    let of_role =
        messages.iter().rev().find(|message| message.get("role").and_then(Tree::as_str) == Some(role));
    match of_role.or(messages.last())?.get("content")? {
        Tree::String(text) => Some(text.clone()),
        Tree::Array(parts) => parts.iter().find_map(text_of_part),
        _ => None,
    }
}

fn text_of_part(part: &Tree) -> Option<String> {
    match part {
        Tree::String(text) => Some(text.clone()),
        part => {
            let kind = part.get("type").and_then(Tree::as_str);
            let is_text = matches!(kind, Some("text" | "output_text"));
            is_text.then(|| part.get("text").and_then(Tree::as_str).unwrap_or_default().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_the_role_is_shown() {
        for (json, role, want) in [
            (r#"{"x": 1}"#, "user", r#"{"x": 1}"#),
            (
                r#"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}"#,
                "user",
                "b",
            ),
            (
                r#"{"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}"#,
                "user",
                "a",
            ),
            (r#"{"messages": [{"role": "tool", "content": "b"}]}"#, "user", "b"),
            (r#"{"choices": [{"message": {"role": "assistant", "content": "yes"}}]}"#, "assistant", "yes"),
            (
                r#"{"request": {"input": [{"role": "user", "content": [{"type": "text", "text": "t"}]}]}}"#,
                "user",
                "t",
            ),
            (r#"{"messages": []}"#, "user", r#"{"messages": []}"#),
            ("\"text\"", "user", "\"text\""),
        ] {
            assert_eq!(preview(json, role), want);
        }
        let long = preview(&format!("\"{}\"", "é".repeat(2000)), "user");
        assert_eq!((long.chars().count(), long.ends_with("...")), (1000, true));
    }
}

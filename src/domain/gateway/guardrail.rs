//! Guardrails: which scorers may be one, when they look and what they do.

use serde_json::Value;

use super::given;
use crate::domain::{Error, Result};
use crate::proto::outline::is_readable;
use crate::proto::{CreateGatewayGuardrail, GuardrailAction, GuardrailStage};

/// A validated request for a guardrail. Its scorer is yet to be looked up.
#[derive(Debug, Clone)]
pub struct NewGuardrail {
    /// Its name; not unique.
    pub name: String,
    /// The scorer.
    pub scorer_id: String,
    /// The scorer's version.
    pub scorer_version: i64,
    /// When it looks.
    pub stage: GuardrailStage,
    /// What it does.
    pub action: GuardrailAction,
    /// The endpoint that helps it to do that.
    pub action_endpoint_id: Option<String>,
}

impl TryFrom<CreateGatewayGuardrail> for NewGuardrail {
    type Error = Error;

    /// Upstream: `_create_gateway_guardrail`. Differs: stock breaks over an unknown stage or action, with a 500.
    fn try_from(r: CreateGatewayGuardrail) -> Result<Self> {
        let (stage, action) = (r.stage(), r.action());
        if stage == GuardrailStage::Unspecified {
            return Err(Error::invalid("Invalid stage: 0"));
        }
        if action == GuardrailAction::Unspecified {
            return Err(Error::invalid("Invalid action: 0"));
        }
        Ok(Self {
            name: r.name.unwrap_or_default(),
            scorer_id: r.scorer_id.unwrap_or_default(),
            scorer_version: r.scorer_version.unwrap_or_default(),
            stage,
            action,
            action_endpoint_id: given(r.action_endpoint_id),
        })
    }
}

/// Refuses a scorer that carries code.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_serialized_scorer_is_custom_code`.
pub fn check_scorer(serialized: &str) -> Result<()> {
    if !is_readable(serialized) {
        return Err(Error::invalid("The serialized scorer holds too many values."));
    }
    let scorer: Value = serde_json::from_str(serialized)
        .map_err(|e| Error::invalid(format!("Malformed serialized scorer: {e}")))?;
    if carries_code(&scorer) {
        return Err(Error::invalid(
            "Gateway guardrails do not support custom scorers defined with the @scorer decorator. Use a built-in scorer \
             or a judge created with make_judge.",
        ));
    }
    Ok(())
}

fn carries_code(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get("call_source").is_some_and(|source| !source.is_null())
                || fields.values().any(carries_code)
        }
        Value::Array(items) => items.iter().any(carries_code),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_at_any_depth() {
        for (scorer, is_good) in [
            (r#"{"name": "a", "call_source": null}"#, true),
            (r#"{"call_source": "x"}"#, false),
            (r#"{"data": {"scorers": [{"call_source": ""}]}}"#, false),
            ("no JSON", false),
        ] {
            assert_eq!(check_scorer(scorer).is_ok(), is_good, "{scorer}");
        }
    }
}

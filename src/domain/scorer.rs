//! Scorers: which may be registered, which model they ask, and when they may run by themselves. Nothing here runs one.

use serde_json::Value;

use super::python::repr;
use super::{Error, Result};
use crate::proto::loose::Json;
use crate::proto::outline::is_readable;

/// Where a scorer that an instruction makes keeps what it is made of.
const INSTRUCTIONS_JUDGE: &str = "instructions_judge_pydantic_data";
const BUILTIN: &str = "builtin_scorer_pydantic_data";
const MEMORY_AUGMENTED: &str = "memory_augmented_judge_data";
const THIRD_PARTY: &str = "third_party_scorer_data";
/// Options of a scorer's client that choose whom it asks, in the order that messages name them.
const DESTINATION_KEYS: [&str; 5] =
    ["api_base", "base_url", "custom_llm_provider", "fallbacks", "model_list"];
/// How the name of a model begins that is an endpoint of the gateway.
const GATEWAY: &str = "gateway";

/// What a server says to a scorer that carries code.
const CUSTOM_REFUSED: &str = "Custom scorer registration (using @scorer decorator) is disabled by default outside of \
Databricks tracking environments due to security concerns. Custom scorers require arbitrary code execution during \
deserialization.\n\nTo use custom scorers:\n1. Configure MLflow to use a Databricks tracking URI, or\n2. Manage your \
custom scorer code in a source code repository (e.g., GitHub) and import it directly, or\n3. On a self-managed MLflow \
server (or local environment) that you trust to run the scorer's code, set the MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS \
environment variable to true, or\n4. Use built-in scorers or make_judge() scorers instead.";

/// Whether scorers that carry code may be registered.
///
/// Upstream: `MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CustomScorers {
    /// They are refused.
    #[default]
    Refused,
    /// They are kept; this server never runs them.
    Kept,
}

/// A version of a scorer to be stored, checked.
#[derive(Debug, Clone)]
pub struct NewScorer {
    /// Unique in its experiment.
    pub name: String,
    /// Its body as it was given.
    pub serialized: String,
    /// Its body, read.
    pub body: Json,
}

impl NewScorer {
    /// Checks a scorer.
    ///
    /// Upstream: `_validate_serialized_scorer_payload`, `SqlAlchemyStore.register_scorer`. Differs: a body that is no
    /// JSON object is refused with `INVALID_PARAMETER_VALUE`, not with a 500.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn new(name: String, serialized: String, custom: CustomScorers) -> Result<Self> {
        let body = validate_payload(&serialized, custom)?;
        if name.trim().is_empty() {
            return Err(Error::invalid("Scorer name cannot be empty or contain only whitespace."));
        }
        match model_of(&body) {
            None | Some(Json::Null) => {}
            Some(Json::Str(model)) if model.trim().is_empty() => {
                return Err(Error::invalid("Scorer model cannot be empty or contain only whitespace."));
            }
            Some(Json::Str(_)) => {}
            Some(other) => {
                let kind = other.python_type();
                return Err(Error::invalid(format!("Scorer model must be a string, got {kind}.")));
            }
        }
        Ok(Self { name, serialized, body })
    }
}

/// Checks the body of a scorer and returns it.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`.
pub fn validate_payload(serialized: &str, custom: CustomScorers) -> Result<Json> {
    let json = Some(serialized).filter(|json| is_readable(json));
    let body = json
        .and_then(|json| Json::parse(json.as_bytes()))
        .ok_or_else(|| Error::invalid("serialized_scorer must be valid JSON"))?;
    if custom == CustomScorers::Refused && has_code(&body) {
        return Err(Error::invalid(CUSTOM_REFUSED));
    }
    validate_third_party(&body)?;
    if !matches!(body, Json::Object(_)) {
        return Err(Error::invalid("serialized_scorer must be a JSON object"));
    }
    Ok(body)
}

/// Says whether code is anywhere in a scorer. Upstream: `_obj_has_call_source`.
fn has_code(json: &Json) -> bool {
    match json {
        Json::Object(fields) => {
            json.get("call_source").is_some_and(|code| *code != Json::Null)
                || fields.iter().any(|(_, value)| has_code(value))
        }
        Json::List(items) => items.iter().any(has_code),
        _ => false,
    }
}

/// Upstream: `_validate_third_party_scorer_data`.
fn validate_third_party(json: &Json) -> Result<()> {
    match json {
        Json::Object(fields) => {
            if let Some(data @ Json::Object(_)) = json.get(THIRD_PARTY) {
                validate_options(data.get("kwargs").unwrap_or(&Json::Null))?;
            }
            fields.iter().try_for_each(|(_, value)| validate_third_party(value))
        }
        Json::List(items) => items.iter().try_for_each(validate_third_party),
        _ => Ok(()),
    }
}

fn validate_options(options: &Json) -> Result<()> {
    if !matches!(options, Json::Null | Json::Object(_)) {
        return Err(Error::invalid(format!(
            "third_party_scorer_data.kwargs must be a JSON object, got {}.",
            options.python_type()
        )));
    }
    let found: Vec<String> =
        DESTINATION_KEYS.iter().filter(|key| names(options, key)).map(|key| repr(key)).collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "third_party_scorer_data.kwargs must not contain {}: these options choose where the scorer's LLM client \
         sends requests. Configure the judge endpoint on the server instead, for example through a gateway endpoint \
         ('gateway:/<name>') or the provider's environment variables.",
        found.join(", ")
    )))
}

/// Says whether an option is given at any depth, also as a pair of name and value.
fn names(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(fields) => fields.iter().any(|(name, value)| name == key || names(value, key)),
        Json::List(items) => items.iter().any(|item| {
            let is_pair = matches!(item, Json::List(pair)
                if matches!(pair.as_slice(), [Json::Str(name), _] if name == key));
            is_pair || names(item, key)
        }),
        _ => false,
    }
}

/// Returns the model that a scorer asks. Upstream: `extract_model_from_serialized_scorer`.
pub fn model_of(body: &Json) -> Option<&Json> {
    let part = |name: &str| body.get(name).filter(|part| matches!(part, Json::Object(f) if !f.is_empty()));
    if let Some(part) = part(INSTRUCTIONS_JUDGE).or_else(|| part(BUILTIN)) {
        return part.get("model");
    }
    if let Some(memory) = part(MEMORY_AUGMENTED) {
        return memory.get("base_judge").and_then(model_of);
    }
    part(THIRD_PARTY)?.get("model")
}

/// Returns the endpoint of the gateway that a scorer asks, if it asks one: an id once it is stored, a name before.
pub fn endpoint_of(body: &Json) -> Option<&str> {
    let Json::Str(model) = model_of(body)? else { return None };
    let (provider, path) = model.split_once(":/")?;
    let path = path.trim_start_matches('/');
    (provider == GATEWAY && !path.is_empty()).then_some(path)
}

/// Lets a scorer ask another endpoint of the gateway, or none. Upstream: `update_model_in_serialized_scorer`.
pub fn set_endpoint(body: &mut Json, endpoint: Option<&str>) {
    let Json::Object(fields) = body else { return };
    let is_given = |value: &Json| matches!(value, Json::Object(f) if !f.is_empty());
    let names = [INSTRUCTIONS_JUDGE, BUILTIN, MEMORY_AUGMENTED, THIRD_PARTY];
    let Some(name) = names.into_iter().find(|name| fields.iter().any(|(n, v)| n == name && is_given(v)))
    else {
        return;
    };
    let Some((_, Json::Object(part))) = fields.iter_mut().rfind(|(n, _)| n == name) else { return };
    if name == MEMORY_AUGMENTED {
        if let Some((_, judge)) = part.iter_mut().rfind(|(n, _)| n == "base_judge") {
            set_endpoint(judge, endpoint);
        }
        return;
    }
    let model = endpoint.map_or(Json::Null, |endpoint| Json::Str(format!("{GATEWAY}:/{endpoint}")));
    match part.iter_mut().rfind(|(n, _)| n == "model") {
        Some((_, old)) => *old = model,
        None => part.push(("model".into(), model)),
    }
}

/// Says whether a scorer asks for what the right answer is, which nobody knows of a trace that just arrived.
///
/// Upstream: `InstructionsJudge.get_input_fields`.
pub fn needs_expectations(body: &Json) -> bool {
    let Some(Json::Str(instructions)) =
        body.get(INSTRUCTIONS_JUDGE).and_then(|part| part.get("instructions"))
    else {
        return false;
    };
    let mut places = instructions.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    places.any(|(name, _)| name.trim() == "expectations")
}

/// When a scorer runs by itself, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlineScoring {
    /// The experiment of the scorer and of the traces.
    pub experiment_id: String,
    /// The scorer.
    pub name: String,
    /// Of how many traces, from 0 to 1.
    pub sample_rate: f64,
    /// Of which traces.
    pub filter: Option<String>,
}

impl OnlineScoring {
    /// Checks a sample rate.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.upsert_online_scoring_config`.
    pub fn new(
        experiment_id: String,
        name: String,
        sample_rate: f64,
        filter: Option<String>,
    ) -> Result<Self> {
        if !(0.0..=1.0).contains(&sample_rate) {
            let rate = super::python::float(sample_rate);
            return Err(Error::invalid(format!("sample_rate must be between 0.0 and 1.0, got {rate}")));
        }
        Ok(Self { experiment_id, name, sample_rate, filter })
    }

    /// Checks that a scorer of this body may run so.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub fn validate_scorer(&self, body: &Json) -> Result<()> {
        if self.sample_rate <= 0.0 {
            return Ok(());
        }
        let name = &self.name;
        if endpoint_of(body).is_none() {
            return Err(Error::invalid(format!(
                "Scorer '{name}' does not use a gateway model. Automatic evaluation is only supported for scorers \
                 that use gateway models."
            )));
        }
        if needs_expectations(body) {
            return Err(Error::invalid(format!(
                "Scorer '{name}' requires expectations, but scorers with expectations are not currently supported \
                 for automatic evaluation."
            )));
        }
        Ok(())
    }
}

/// Checks what the user interface sends to run a scorer.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_invoke_scorer_handler`.
pub fn validate_invocation(request: &Value, custom: CustomScorers) -> Result<()> {
    let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    for name in ["experiment_id", "serialized_scorer"] {
        text(name).ok_or_else(|| Error::invalid(format!("Missing required parameter: {name}")))?;
    }
    let trace_ids = request.get("trace_ids").unwrap_or(&Value::Null);
    match trace_ids {
        Value::Array(ids) if ids.is_empty() => {
            return Err(Error::invalid("Please select at least one trace to evaluate."));
        }
        Value::Null => return Err(Error::invalid("Please select at least one trace to evaluate.")),
        Value::Array(ids) if ids.iter().all(Value::is_string) => {}
        _ => return Err(Error::invalid("trace_ids must be a list of strings")),
    }
    let given = |name: &str| request.get(name).filter(|value| !value.is_null());
    match (given("scorer_name"), given("scorer_version")) {
        (None, None) => {}
        (Some(Value::String(_)), Some(version)) if version.is_i64() => {}
        (Some(_), Some(_)) => {
            let message = "scorer_name must be a string and scorer_version must be an integer";
            return Err(Error::invalid(message));
        }
        _ => return Err(Error::invalid("scorer_name and scorer_version must be specified together")),
    }
    validate_payload(text("serialized_scorer").unwrap_or_default(), custom).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(name: &str, body: &str) -> Result<NewScorer> {
        NewScorer::new(name.into(), body.into(), CustomScorers::Refused)
    }

    #[test]
    fn bodies_that_could_run_code_or_ask_anybody_are_refused() {
        for (body, want) in [
            ("x", "serialized_scorer must be valid JSON"),
            ("5", "serialized_scorer must be a JSON object"),
            (r#"{"a": [{"call_source": "return 1"}]}"#, "Custom scorer registration"),
            (
                r#"{"ensemble_scorer_data": {"scorers": [{"third_party_scorer_data": {"kwargs": {"x": {"base_url": 1}, "api_base": 2}}}]}}"#,
                "third_party_scorer_data.kwargs must not contain 'api_base', 'base_url': these",
            ),
            (
                r#"{"third_party_scorer_data": {"kwargs": {"x": [["model_list", 1]]}}}"#,
                "third_party_scorer_data.kwargs must not contain 'model_list'",
            ),
            (
                r#"{"third_party_scorer_data": {"kwargs": []}}"#,
                "third_party_scorer_data.kwargs must be a JSON object, got list.",
            ),
            (r#"{"builtin_scorer_pydantic_data": {"model": " "}}"#, "Scorer model cannot be empty"),
            (r#"{"builtin_scorer_pydantic_data": {"model": 5}}"#, "Scorer model must be a string, got int."),
        ] {
            let message = new("s", body).unwrap_err().message;
            assert!(message.starts_with(want), "{body}: {message}");
        }
        assert!(new("s", r#"{"call_source": null}"#).is_ok());
        assert!(new(" ", "{}").is_err());
        let code = r#"{"call_source": "return 1"}"#;
        assert!(NewScorer::new("s".into(), code.into(), CustomScorers::Kept).is_ok());
    }

    #[test]
    fn endpoints_are_found_and_replaced() {
        for (body, endpoint, replaced) in [
            (
                r#"{"instructions_judge_pydantic_data": {"model": "gateway:/ep", "x": 1}}"#,
                Some("ep"),
                r#"{"instructions_judge_pydantic_data": {"model": "gateway:/new", "x": 1}}"#,
            ),
            (
                r#"{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": "gateway:/a/b"}}}}"#,
                Some("a/b"),
                r#"{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": "gateway:/new"}}}}"#,
            ),
            (
                r#"{"builtin_scorer_pydantic_data": {"model": "openai:/gpt"}}"#,
                None,
                r#"{"builtin_scorer_pydantic_data": {"model": "gateway:/new"}}"#,
            ),
            (r#"{"name": "s"}"#, None, r#"{"name": "s"}"#),
        ] {
            let mut json = Json::parse(body.as_bytes()).unwrap();
            assert_eq!(endpoint_of(&json), endpoint, "{body}");
            set_endpoint(&mut json, Some("new"));
            assert_eq!(json.dumps_spaced(), replaced);
        }
    }

    #[test]
    fn only_scorers_that_can_run_alone_do() {
        let scoring = |rate| OnlineScoring::new("0".into(), "s".into(), rate, None);
        assert_eq!(scoring(2.0).unwrap_err().message, "sample_rate must be between 0.0 and 1.0, got 2.0");
        assert!(scoring(f64::NAN).is_err());
        let judge = |instructions: &str, model: &str| {
            let part = json!({ "instructions": instructions, "model": model });
            Json::parse(json!({ "instructions_judge_pydantic_data": part }).to_string().as_bytes()).unwrap()
        };
        for (body, rate, is_ok) in [
            (judge("{{ inputs }}", "gateway:/ep"), 0.5, true),
            (judge("{{ inputs }} {{expectations}}", "gateway:/ep"), 0.5, false),
            (judge("{{ inputs }}", "openai:/gpt"), 0.5, false),
            (judge("{{ inputs }}", "openai:/gpt"), 0.0, true),
        ] {
            assert_eq!(scoring(rate).unwrap().validate_scorer(&body).is_ok(), is_ok, "{body:?}");
        }
    }

    #[test]
    fn invocations_are_checked_before_they_are_refused() {
        let good = json!({ "experiment_id": "0", "serialized_scorer": "{}", "trace_ids": ["tr-1"] });
        let with = |name: &str, value: Value| {
            let mut request = good.clone();
            request[name] = value;
            validate_invocation(&request, CustomScorers::Refused)
        };
        assert!(with("experiment_id", json!("0")).is_ok());
        for (name, value, want) in [
            ("experiment_id", json!(""), "Missing required parameter: experiment_id"),
            ("serialized_scorer", json!(null), "Missing required parameter: serialized_scorer"),
            ("trace_ids", json!([]), "Please select at least one trace to evaluate."),
            ("trace_ids", json!([5]), "trace_ids must be a list of strings"),
            ("scorer_name", json!("s"), "scorer_name and scorer_version must be specified together"),
        ] {
            assert_eq!(with(name, value).unwrap_err().message, want);
        }
    }
}

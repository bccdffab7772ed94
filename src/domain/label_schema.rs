//! Label schemas: what a question may be and how it is stored.

use serde_json::Value;

use super::python::{float, json_dumps, list, repr};
use super::{Error, Result};
use crate::proto::label_schema::Type;
use crate::proto::{
    CreateLabelSchema, InputCategorical, InputNumeric, InputPassFail, InputText, LabelSchemaInput,
    UpdateLabelSchema,
};

/// Most characters of a question.
const MAX_NAME: usize = 250;
/// Most characters of the instruction of a question.
const MAX_INSTRUCTION: usize = 1000;
/// Most characters of a word to choose.
const MAX_WORD: usize = 64;
/// Most words to choose among.
const MAX_OPTIONS: usize = 10;

/// The question that every experiment has.
pub const DEFAULT_NAME: &str = "Feedback";
/// The instruction of that question.
pub const DEFAULT_INSTRUCTION: &str = "Share any feedback on this trace.";

/// How a question is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Two buttons.
    PassFail(InputPassFail),
    /// A choice among words.
    Categorical(InputCategorical),
    /// A number.
    Numeric(InputNumeric),
    /// A text.
    Text(InputText),
}

/// A question to be stored, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLabelSchema {
    /// Unique in its experiment.
    pub name: String,
    /// What its answer is to a trace.
    pub schema_type: Type,
    /// How it is answered.
    pub input: Input,
    /// Shown to reviewers.
    pub instruction: Option<String>,
    /// Whether reviewers may add a comment.
    pub enable_comment: bool,
}

impl NewLabelSchema {
    /// Returns the question that every experiment has, which nobody may change.
    pub fn of_every_experiment() -> Self {
        Self {
            name: DEFAULT_NAME.into(),
            schema_type: Type::Feedback,
            input: Input::Text(InputText::default()),
            instruction: Some(DEFAULT_INSTRUCTION.into()),
            enable_comment: false,
        }
    }
}

impl TryFrom<CreateLabelSchema> for NewLabelSchema {
    type Error = Error;

    /// Upstream: `_create_label_schema`, `validate_schema_for_create`.
    fn try_from(r: CreateLabelSchema) -> Result<Self> {
        let schema_type = match r.r#type() {
            Type::LabelSchemaTypeUnspecified => {
                return Err(Error::invalid(
                    "Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0.",
                ));
            }
            known => known,
        };
        let (enable_comment, input) = (r.enable_comment(), Input::new(r.input.unwrap_or_default())?);
        let name = r.name.unwrap_or_default();
        validate_name(&name)?;
        validate_instruction(r.instruction.as_deref())?;
        input.validate()?;
        Ok(Self { name, schema_type, input, instruction: r.instruction, enable_comment })
    }
}

/// What is changed of a question; `None` is left as it is. Checked against the question by [`LabelSchemaUpdate::validate`].
#[derive(Debug, Clone)]
pub struct LabelSchemaUpdate {
    /// The new name.
    pub name: Option<String>,
    /// The new instruction.
    pub instruction: Option<String>,
    /// Whether reviewers may add a comment.
    pub enable_comment: Option<bool>,
    /// The new way to answer, of the same kind.
    pub input: Option<Input>,
}

impl TryFrom<UpdateLabelSchema> for LabelSchemaUpdate {
    type Error = Error;

    fn try_from(r: UpdateLabelSchema) -> Result<Self> {
        let input = r.input.map(Input::new).transpose()?;
        Ok(Self { name: r.name, instruction: r.instruction, enable_comment: r.enable_comment, input })
    }
}

impl LabelSchemaUpdate {
    /// Checks the change of a question that is answered by `existing`.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `validate_schema_for_update`.
    pub fn validate(&self, is_default: bool, existing: &Input) -> Result<()> {
        if is_default {
            return Err(Error::invalid("The experiment's default question cannot be edited."));
        }
        if let Some(name) = &self.name {
            validate_name(name)?;
        }
        validate_instruction(self.instruction.as_deref())?;
        let Some(input) = &self.input else { return Ok(()) };
        input.validate()?;
        if input.class() != existing.class() {
            return Err(Error::invalid(format!(
                "A label schema's input type cannot be changed after creation (existing: {}, got: {}).",
                existing.class(),
                input.class()
            )));
        }
        match (input, existing) {
            (Input::Categorical(new), Input::Categorical(old))
                if new.multi_select() != old.multi_select() =>
            {
                Err(Error::invalid("`InputCategorical.multi_select` cannot be changed after creation."))
            }
            _ => Ok(()),
        }
    }
}

fn validate_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Label schema `name` must be a non-empty string; got ''."));
    }
    let length = name.chars().count();
    if length > MAX_NAME {
        return Err(Error::invalid(format!(
            "Label schema `name` must be at most {MAX_NAME} characters; got {length}."
        )));
    }
    if name.trim().to_lowercase() == DEFAULT_NAME.to_lowercase() {
        return Err(Error::invalid(format!(
            "`{name}` is reserved for the experiment's default question and cannot be used for another label schema."
        )));
    }
    Ok(())
}

fn validate_instruction(instruction: Option<&str>) -> Result<()> {
    let length = instruction.map_or(0, |text| text.chars().count());
    if length <= MAX_INSTRUCTION {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Label schema `instruction` must be at most {MAX_INSTRUCTION} characters; got {length}."
    )))
}

impl Input {
    /// Upstream: `_input_from_proto`.
    fn new(message: LabelSchemaInput) -> Result<Self> {
        let LabelSchemaInput { pass_fail, categorical, numeric, text } = message;
        let input = pass_fail
            .map(Self::PassFail)
            .or(categorical.map(Self::Categorical))
            .or(numeric.map(Self::Numeric))
            .or(text.map(Self::Text));
        input.ok_or_else(|| {
            Error::invalid(
                "Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` set; \
                 got an empty oneof.",
            )
        })
    }

    /// Reads what [`Input::stored`] wrote.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` for anything else.
    pub fn parse(kind: &str, config: &str) -> Result<Self> {
        let config: Value = serde_json::from_str(config).map_err(Error::internal)?;
        let text = |name: &str| config.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name: &str| config.get(name).and_then(Value::as_f64);
        Ok(match kind {
            "pass_fail" => Self::PassFail(InputPassFail {
                positive_label: text("positive_label"),
                negative_label: text("negative_label"),
            }),
            "categorical" => {
                let options = config.get("options").and_then(Value::as_array);
                let words = options.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
                let multi_select = config.get("multi_select").and_then(Value::as_bool).unwrap_or(false);
                Self::Categorical(InputCategorical {
                    options: words.collect(),
                    multi_select: Some(multi_select),
                })
            }
            "numeric" => {
                Self::Numeric(InputNumeric { min_value: number("min_value"), max_value: number("max_value") })
            }
            "text" => Self::Text(InputText { max_length: config.get("max_length").and_then(Value::as_i64) }),
            other => return Err(Error::internal(format!("no input type {other}"))),
        })
    }

    /// Returns the name and the JSON under which the way to answer is stored. Upstream: `_input_to_dict`.
    pub fn stored(&self) -> (&'static str, String) {
        let (name, json) = match self {
            Self::PassFail(input) => (
                "pass_fail",
                serde_json::json!({ "positive_label": input.positive_label(), "negative_label": input.negative_label() }),
            ),
            Self::Categorical(input) => (
                "categorical",
                serde_json::json!({ "options": input.options, "multi_select": input.multi_select() }),
            ),
            Self::Numeric(input) => {
                ("numeric", serde_json::json!({ "min_value": input.min_value, "max_value": input.max_value }))
            }
            Self::Text(input) => ("text", serde_json::json!({ "max_length": input.max_length })),
        };
        (name, json_dumps(&json))
    }

    /// Returns the message.
    pub fn into_message(self) -> LabelSchemaInput {
        let mut message = LabelSchemaInput::default();
        match self {
            Self::PassFail(input) => message.pass_fail = Some(input),
            Self::Categorical(input) => message.categorical = Some(input),
            Self::Numeric(input) => message.numeric = Some(input),
            Self::Text(input) => message.text = Some(input),
        }
        message
    }

    const fn class(&self) -> &'static str {
        match self {
            Self::PassFail(_) => "InputPassFail",
            Self::Categorical(_) => "InputCategorical",
            Self::Numeric(_) => "InputNumeric",
            Self::Text(_) => "InputText",
        }
    }

    fn validate(&self) -> Result<()> {
        match self {
            Self::PassFail(input) => validate_pass_fail(input),
            Self::Categorical(input) => validate_options(&input.options),
            Self::Numeric(input) => validate_numeric(input),
            Self::Text(input) => match input.max_length {
                Some(length) if length < 1 => {
                    Err(Error::invalid(format!("`InputText.max_length` must be at least 1; got {length}.")))
                }
                _ => Ok(()),
            },
        }
    }
}

fn validate_pass_fail(input: &InputPassFail) -> Result<()> {
    for (name, label) in
        [("positive_label", input.positive_label()), ("negative_label", input.negative_label())]
    {
        if label.is_empty() {
            return Err(Error::invalid(format!(
                "`InputPassFail.{name}` must be a non-empty string; got ''."
            )));
        }
        let length = label.chars().count();
        if length > MAX_WORD {
            return Err(Error::invalid(format!(
                "`InputPassFail.{name}` must be at most {MAX_WORD} characters; got {length}."
            )));
        }
    }
    if input.positive_label() == input.negative_label() {
        return Err(Error::invalid(format!(
            "`InputPassFail.positive_label` and `negative_label` must be distinct; got {} for both.",
            repr(input.positive_label())
        )));
    }
    Ok(())
}

fn validate_options(options: &[String]) -> Result<()> {
    if options.is_empty() {
        let given = list(options);
        return Err(Error::invalid(format!(
            "`InputCategorical.options` must be a non-empty list; got {given}."
        )));
    }
    if options.len() > MAX_OPTIONS {
        return Err(Error::invalid(format!(
            "`InputCategorical.options` must have at most {MAX_OPTIONS} entries; got {}.",
            options.len()
        )));
    }
    for (i, option) in options.iter().enumerate() {
        let length = option.chars().count();
        if length == 0 {
            return Err(Error::invalid(
                "`InputCategorical.options` entries must be non-empty strings; got ''.",
            ));
        }
        if length > MAX_WORD {
            return Err(Error::invalid(format!(
                "`InputCategorical.options` entries must be at most {MAX_WORD} characters; got {length} for {}.",
                repr(option)
            )));
        }
        if options.iter().take(i).any(|earlier| earlier == option) {
            return Err(Error::invalid(format!(
                "`InputCategorical.options` must be deduplicated; {} appears twice.",
                repr(option)
            )));
        }
    }
    Ok(())
}

fn validate_numeric(input: &InputNumeric) -> Result<()> {
    match (input.min_value, input.max_value) {
        (Some(min), Some(max)) if min >= max => Err(Error::invalid(format!(
            "`InputNumeric.min_value` must be strictly less than `max_value`; got min={}, max={}.",
            float(min),
            float(max)
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(request: &Value) -> Result<NewLabelSchema> {
        let mut full = json!({ "name": "n", "type": "FEEDBACK", "input": { "text": {} } });
        full.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
        serde_json::from_value::<CreateLabelSchema>(full).unwrap().try_into()
    }

    #[test]
    fn bad_questions_are_refused_in_the_words_of_stock() {
        let long = "x".repeat(65);
        for (request, want) in [
            (
                json!({ "type": null }),
                "Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0.",
            ),
            (json!({ "input": null }), "Label schema `input` must have exactly one of"),
            (
                json!({ "name": "x".repeat(251) }),
                "Label schema `name` must be at most 250 characters; got 251.",
            ),
            (json!({ "name": " feedBACK " }), "` feedBACK ` is reserved"),
            (
                json!({ "instruction": "x".repeat(1001) }),
                "Label schema `instruction` must be at most 1000 characters; got 1001.",
            ),
            (
                json!({ "input": { "pass_fail": { "positive_label": "a" } } }),
                "`InputPassFail.negative_label` must be a non-empty string; got ''.",
            ),
            (
                json!({ "input": { "pass_fail": { "positive_label": "a", "negative_label": "a" } } }),
                "`InputPassFail.positive_label` and `negative_label` must be distinct; got 'a' for both.",
            ),
            (
                json!({ "input": { "pass_fail": { "positive_label": long, "negative_label": "a" } } }),
                "`InputPassFail.positive_label` must be at most 64 characters; got 65.",
            ),
            (
                json!({ "input": { "categorical": {} } }),
                "`InputCategorical.options` must be a non-empty list; got [].",
            ),
            (
                json!({ "input": { "categorical": { "options": ["a", ""] } } }),
                "`InputCategorical.options` entries must be non-empty strings; got ''.",
            ),
            (
                json!({ "input": { "categorical": { "options": ["a", "b", "a"] } } }),
                "`InputCategorical.options` must be deduplicated; 'a' appears twice.",
            ),
            (
                json!({ "input": { "categorical": { "options": vec!["a"; 11] } } }),
                "`InputCategorical.options` must have at most 10 entries; got 11.",
            ),
            (
                json!({ "input": { "numeric": { "min_value": 3, "max_value": 2.5 } } }),
                "`InputNumeric.min_value` must be strictly less than `max_value`; got min=3.0, max=2.5.",
            ),
            (
                json!({ "input": { "text": { "max_length": 0 } } }),
                "`InputText.max_length` must be at least 1; got 0.",
            ),
        ] {
            let message = new(&request).unwrap_err().message;
            assert!(message.starts_with(want), "{request}: {message}");
        }
    }

    #[test]
    fn ways_to_answer_are_stored_as_stock_stores_them() {
        for (input, kind, config) in [
            (
                json!({ "pass_fail": { "positive_label": "é", "negative_label": "b" } }),
                "pass_fail",
                r#"{"positive_label": "\u00e9", "negative_label": "b"}"#,
            ),
            (
                json!({ "categorical": { "options": ["a"] } }),
                "categorical",
                r#"{"options": ["a"], "multi_select": false}"#,
            ),
            (json!({ "numeric": { "max_value": 5 } }), "numeric", r#"{"min_value": null, "max_value": 5.0}"#),
            (json!({ "text": { "max_length": 7 } }), "text", r#"{"max_length": 7}"#),
            (json!({ "text": {} }), "text", r#"{"max_length": null}"#),
        ] {
            let made = new(&json!({ "input": input })).unwrap();
            assert_eq!(made.input.stored(), (kind, config.to_owned()));
            let read = Input::parse(kind, config).unwrap();
            assert_eq!(read.stored(), made.input.stored());
        }
    }

    #[test]
    fn the_way_to_answer_stays() {
        let update = |input: Value| {
            let request = json!({ "schema_id": "x", "input": input });
            LabelSchemaUpdate::try_from(serde_json::from_value::<UpdateLabelSchema>(request).unwrap())
                .unwrap()
        };
        let words = new(&json!({ "input": { "categorical": { "options": ["a"] } } })).unwrap().input;
        let (text, other, many) = (
            update(json!({ "text": {} })),
            update(json!({ "categorical": { "options": ["b"] } })),
            update(json!({ "categorical": { "options": ["b"], "multi_select": true } })),
        );
        assert_eq!(
            text.validate(false, &words).unwrap_err().message,
            "A label schema's input type cannot be changed after creation (existing: InputCategorical, got: InputText)."
        );
        assert!(other.validate(false, &words).is_ok());
        assert!(
            many.validate(false, &words).unwrap_err().message.starts_with("`InputCategorical.multi_select`")
        );
        assert!(other.validate(true, &words).unwrap_err().message.ends_with("cannot be edited."));
    }
}

//! The model registry: names, stages, tags and aliases, and what a new model or version must look like. Where the
//! source of a version may point is in `model_source.rs`. A prompt is a registered model with a tag that says so.

use super::distinct::one_of_each;
use super::ids::{ModelName, Tag};
use super::{Error, ErrorCode, Result, python, validate};
use crate::proto::{CreateModelVersion, CreateRegisteredModel, ModelVersionTag, RegisteredModelTag};

/// The tag that makes a registered model or a version a prompt, if its value is `true`.
pub const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";
/// The tag of a version that holds the text of a prompt.
pub const PROMPT_TEXT_TAG: &str = "mlflow.prompt.text";
/// Sources that a version of a prompt may have: it has none, but the field is required.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];

/// Longest key of a tag.
const MAX_TAG_KEY_LENGTH: usize = 250;
/// Longest value of a tag.
const MAX_TAG_VALUE_LENGTH: usize = 100_000;
/// Longest alias.
const MAX_ALIAS_LENGTH: usize = 255;

/// The alias that is always the newest version.
const LATEST: &str = "latest";

/// Most results of one search of registered models.
pub const MAX_MODELS: i64 = 1000;
/// Most results of one search of model versions.
pub const MAX_VERSIONS: i64 = 200_000;

/// The stage of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No stage yet.
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// No longer in use.
    Archived,
}

impl Stage {
    const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// Reads a stage, in any case.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `get_canonical_stage`.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.to_lowercase();
        Self::ALL.into_iter().find(|stage| stage.name().to_lowercase() == lower).ok_or_else(|| {
            let valid = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("Invalid Model Version stage: {text}. Value must be one of {valid}."))
        })
    }

    /// Returns the name that is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// Checks that moving a version to the stage, which the client wrote as `text`, may archive those in it.
    ///
    /// # Errors
    /// `INTERNAL_ERROR`, as in stock. Upstream: `SqlAlchemyStore.transition_model_version_stage`.
    pub fn require_archivable(self, text: &str) -> Result<()> {
        if matches!(self, Self::Staging | Self::Production) {
            return Ok(());
        }
        let message = format!(
            "Model version transition cannot archive existing model versions because '{text}' is not an Active stage. \
             Valid stages are ['Staging', 'Production']"
        );
        Err(Error::new(ErrorCode::InternalError, message))
    }
}

/// A version of a model, as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionKey {
    /// The name of the model.
    pub name: ModelName,
    /// The number; may be one that no version can have.
    pub version: i64,
}

impl VersionKey {
    /// Checks the name and reads the number.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_name`, `_validate_model_version`.
    pub fn parse(name: Option<String>, version: &str) -> Result<Self> {
        Self::of(ModelName::from(name), version)
    }

    /// The same of a name that is there.
    ///
    /// # Errors
    /// As for [`VersionKey::parse`].
    pub fn of(name: ModelName, version: &str) -> Result<Self> {
        validate_name(&name)?;
        let version = python::parse_int(version).ok_or_else(|| {
            Error::invalid(format!("Parameter 'version' must be an integer, got '{version}'."))
        })?;
        Ok(Self { name, version })
    }

    /// Returns the number as it is stored, if it can be.
    pub fn number(&self) -> Option<i32> {
        i32::try_from(self.version).ok()
    }

    /// `RESOURCE_DOES_NOT_EXIST` for this version.
    pub fn not_found(&self) -> Error {
        Error::not_found(format!("Model Version (name={}, version={}) not found", self.name, self.version))
    }
}

/// Checks the name of a model.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_name`.
pub fn validate_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid("Missing value for required parameter 'name'."));
    }
    if name.contains(['/', ':']) {
        return Err(Error::invalid(format!("Invalid model name '{name}'. Names cannot contain '/' or ':'.")));
    }
    validate::only_itself(name, "name")
}

/// Checks the name that a model is to get.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_renaming`.
pub fn validate_new_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::invalid("Missing value for required parameter 'new_name'."));
    }
    validate_name(name)
}

/// Checks an alias that is looked up.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_alias_name`.
pub fn validate_alias(alias: &str) -> Result<()> {
    if alias.is_empty() {
        return Err(Error::invalid("Registered model alias name cannot be empty."));
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    if !alias.strip_suffix('\n').unwrap_or(alias).chars().all(is_word) {
        return Err(Error::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )));
    }
    validate::length("Registered model alias name", MAX_ALIAS_LENGTH, alias)
}

/// Checks an alias that is to be given: some are reserved.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_alias_name_reserved`.
pub fn validate_new_alias(alias: &str) -> Result<()> {
    validate_alias(alias)?;
    if is_latest(alias) {
        return Err(Error::invalid("'latest' alias name (case insensitive) is reserved."));
    }
    let digits = alias.strip_suffix('\n').unwrap_or(alias).strip_prefix(['v', 'V']).unwrap_or_default();
    if !digits.is_empty() && digits.chars().all(char::is_numeric) {
        return Err(Error::invalid(format!("Version alias name '{alias}' is reserved.")));
    }
    Ok(())
}

/// Says whether `alias` means the newest version.
pub fn is_latest(alias: &str) -> bool {
    alias.to_lowercase() == LATEST
}

/// Checks the key of a tag.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_tag_name`.
pub fn validate_tag_key(key: &str) -> Result<()> {
    validate::key(key, "key")
}

/// Checks a tag of a registered model.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_registered_model_tag`.
pub fn validate_model_tag(key: &str, value: &str) -> Result<()> {
    validate_tag_key(key)?;
    validate::length("key", MAX_TAG_KEY_LENGTH, key)?;
    validate::length("value", MAX_TAG_VALUE_LENGTH, value)
}

/// Checks a tag of a model version.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `_validate_model_version_tag`.
pub fn validate_version_tag(key: &str, value: &str) -> Result<()> {
    validate_tag_key(key)?;
    validate::length("key", MAX_TAG_KEY_LENGTH, key)?;
    validate::length("value", MAX_TAG_VALUE_LENGTH, value).map_err(|e| {
        if key != PROMPT_TEXT_TAG {
            return e;
        }
        Error::invalid(format!("Prompt text exceeds max length of {MAX_TAG_VALUE_LENGTH} characters."))
    })
}

/// Keeps the last value of each key, where the key stood first.
fn last_of_each(tags: impl Iterator<Item = Tag>) -> Vec<Tag> {
    one_of_each(tags, |tag| tag.key.clone(), |_, _| true)
}

/// Says whether tags make what has them a prompt.
///
/// Upstream: `RegisteredModel._is_prompt`.
pub fn is_prompt(tags: &[Tag]) -> bool {
    tags.iter().any(|tag| tag.key == PROMPT_TAG && tag.value.eq_ignore_ascii_case("true"))
}

/// A validated request for a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRegisteredModel {
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Its tags, each key once.
    pub tags: Vec<Tag>,
}

impl TryFrom<CreateRegisteredModel> for NewRegisteredModel {
    type Error = Error;

    /// Upstream: `SqlAlchemyStore.create_registered_model`.
    fn try_from(r: CreateRegisteredModel) -> Result<Self> {
        let name = r.name.unwrap_or_default();
        validate_name(&name)?;
        for tag in &r.tags {
            validate_model_tag(tag.key(), tag.value())?;
        }
        let tags = r.tags.into_iter().map(|t: RegisteredModelTag| tag(t.key, t.value));
        Ok(Self { name, description: r.description.unwrap_or_default(), tags: last_of_each(tags) })
    }
}

fn tag(key: Option<String>, value: Option<String>) -> Tag {
    Tag { key: key.unwrap_or_default(), value: value.unwrap_or_default() }
}

/// `RESOURCE_ALREADY_EXISTS` for a name that is taken. `new` and `old` have the tags of both.
///
/// Upstream: `handle_resource_already_exist_error`.
pub fn name_taken(name: &str, new: &[Tag], old: &[Tag]) -> Error {
    let kind = |tags: &[Tag]| {
        if tags.iter().any(|tag| tag.key == PROMPT_TAG) { "Prompt" } else { "Registered Model" }
    };
    let (new, old) = (kind(new), kind(old));
    if new == old {
        return Error::already_exists(format!("{new} (name={name}) already exists."));
    }
    Error::already_exists(format!(
        "Tried to create a {} with name {}, but the name is already taken by a {}. MLflow does not allow creating a \
         model and a prompt with the same name.",
        new.to_lowercase(),
        python::repr(name),
        old.to_lowercase()
    ))
}

/// A request for a model version. Its source is checked by `model_source.rs`, the rest by [`NewModelVersion::validate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModelVersion {
    /// The registered model.
    pub name: String,
    /// Where its files are.
    pub source: String,
    /// The run it comes from, as the client names it or as its source tells; an empty text if neither does.
    pub run_id: Option<String>,
    /// The logged model it comes from, if the client names one.
    pub model_id: Option<String>,
    /// Where the run can be seen; may be empty.
    pub run_link: String,
    /// What it is; may be empty.
    pub description: String,
    /// Its tags, each key once.
    pub tags: Vec<Tag>,
    /// Whether it is a version of a prompt.
    pub is_prompt: bool,
}

impl NewModelVersion {
    /// Reads a request. `pattern` is what the server's settings want of a source.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` for a source that the settings or, for a prompt, the protocol refuse. Upstream:
    /// `_create_model_version`.
    pub fn new(r: CreateModelVersion, pattern: Option<&regex::Regex>) -> Result<Self> {
        let source = r.source.unwrap_or_default();
        if pattern.is_some_and(|pattern| !pattern.is_match(&source)) {
            return Err(Error::invalid(format!("Invalid model version source: '{source}'.")));
        }
        let tags = r.tags.into_iter().map(|t: ModelVersionTag| tag(t.key, t.value));
        let tags = last_of_each(tags);
        let is_prompt = is_prompt(&tags);
        if is_prompt && !PROMPT_SOURCES.contains(&source.as_str()) {
            return Err(Error::invalid(format!(
                "Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder."
            )));
        }
        Ok(Self {
            name: r.name.unwrap_or_default(),
            source,
            run_id: r.run_id,
            model_id: r.model_id,
            run_link: r.run_link.unwrap_or_default(),
            description: r.description.unwrap_or_default(),
            tags,
            is_prompt,
        })
    }

    /// Checks the name and the tags, which stock does after the source.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.create_model_version`.
    pub fn validate(&self) -> Result<()> {
        validate_name(&self.name)?;
        self.tags.iter().try_for_each(|tag| validate_version_tag(&tag.key, &tag.value))
    }

    /// Returns the logged model it comes from, if there is one.
    pub fn logged_model(&self) -> Option<&str> {
        self.model_id.as_deref().filter(|id| !id.is_empty())
    }
}

/// Checks the number of model versions that a search is asked for, and returns it.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.search_model_versions`.
pub fn max_versions(count: i64) -> Result<i64> {
    match count {
        1..=MAX_VERSIONS => Ok(count),
        ..1 => Err(Error::invalid(format!(
            "Invalid value for max_results. It must be a positive integer, but got {count}"
        ))),
        _ => Err(Error::invalid(format!(
            "Invalid value for request parameter max_results. It must be at most {MAX_VERSIONS}, but got value {count}"
        ))),
    }
}

/// Checks the number of registered models that a search is asked for, and returns it.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`. Upstream: `SqlAlchemyStore.search_registered_models`. Differs: negative numbers are
/// refused, where stock answers nonsense.
pub fn max_models(count: i64) -> Result<i64> {
    match count {
        0..=MAX_MODELS => Ok(count),
        ..0 => Err(Error::invalid(format!(
            "Invalid value for request parameter max_results. It must not be negative, but got value {count}"
        ))),
        _ => Err(Error::invalid(format!(
            "Invalid value for request parameter max_results. It must be at most {MAX_MODELS}, but got value {count}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_checked() {
        for good in ["a", "a b", "é", "a.b", "...a", "-"] {
            let is_ok = validate_name(good).is_ok();
            assert_eq!(is_ok, good != "...a", "{good}");
        }
        for (bad, want) in [
            ("", "Missing value for required parameter 'name'."),
            (" ", "Missing value for required parameter 'name'."),
            ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
            ("a:b", "Invalid model name 'a:b'. Names cannot contain '/' or ':'."),
        ] {
            assert_eq!(validate_name(bad).unwrap_err().message, want);
        }
        let message = validate_name("..").unwrap_err().message;
        assert!(
            message.starts_with("Invalid value \"..\" for parameter 'name' supplied: Names may be"),
            "{message}"
        );
        assert!(validate_new_name("").unwrap_err().message.contains("'new_name'"));
    }

    #[test]
    fn aliases_are_checked() {
        for good in ["a", "a-b_c", "é", "v", "v1a", "version1", "1"] {
            assert!(validate_new_alias(good).is_ok(), "{good}");
        }
        for (bad, want) in [
            ("", "Registered model alias name cannot be empty."),
            ("a b", "Invalid alias name: 'a b'. Names may only contain"),
            ("Latest", "'latest' alias name (case insensitive) is reserved."),
            ("v1", "Version alias name 'v1' is reserved."),
            ("V23", "Version alias name 'V23' is reserved."),
        ] {
            let message = validate_new_alias(bad).unwrap_err().message;
            assert!(message.starts_with(want), "{bad}: {message}");
        }
        let long = validate_new_alias(&"a".repeat(256)).unwrap_err().message;
        assert_eq!(long, "'Registered model alias name' exceeds the maximum length of 255 characters");
    }

    #[test]
    fn stages_are_read_in_any_case() {
        assert_eq!(Stage::parse("pRoDuction").unwrap(), Stage::Production);
        assert_eq!(
            Stage::parse("x").unwrap_err().message,
            "Invalid Model Version stage: x. Value must be one of None, Staging, Production, Archived."
        );
        assert!(Stage::Staging.require_archivable("staging").is_ok());
        assert_eq!(Stage::None.require_archivable("none").unwrap_err().code, ErrorCode::InternalError);
    }

    #[test]
    fn versions_are_whole_numbers() {
        let key = |version: &str| VersionKey::parse(Some("m".into()), version);
        assert_eq!(key(" 3 ").unwrap().number(), Some(3));
        assert_eq!(key("99999999999").unwrap().number(), None);
        assert_eq!(key("1.0").unwrap_err().message, "Parameter 'version' must be an integer, got '1.0'.");
        assert_eq!(key("7").unwrap().not_found().message, "Model Version (name=m, version=7) not found");
    }

    #[test]
    fn a_taken_name_says_by_what() {
        let (prompt, model) = ([Tag::from((PROMPT_TAG, "true"))], []);
        assert_eq!(name_taken("x", &model, &model).message, "Registered Model (name=x) already exists.");
        assert_eq!(name_taken("x", &prompt, &prompt).message, "Prompt (name=x) already exists.");
        let message = name_taken("x", &prompt, &model).message;
        assert!(message.starts_with(
            "Tried to create a prompt with name 'x', but the name is already taken by a registered model."
        ));
    }

    #[test]
    fn prompts_have_no_source() {
        let request = |source: &str, tags: &[(&str, &str)]| {
            let tag = |(key, value): &(&str, &str)| ModelVersionTag {
                key: Some((*key).into()),
                value: Some((*value).into()),
            };
            CreateModelVersion {
                name: Some("p".into()),
                source: Some(source.into()),
                tags: tags.iter().map(tag).collect(),
                ..CreateModelVersion::default()
            }
        };
        let prompt = [(PROMPT_TAG, "True")];
        assert!(NewModelVersion::new(request("dummy-source", &prompt), None).unwrap().is_prompt);
        let message = NewModelVersion::new(request("s3://b/x", &prompt), None).unwrap_err().message;
        assert_eq!(
            message,
            "Invalid prompt source: 's3://b/x'. Prompt sources must use an MLflow placeholder."
        );
        // The last value of a key counts.
        let undone = [(PROMPT_TAG, "true"), (PROMPT_TAG, "false")];
        let new = NewModelVersion::new(request("s3://b/x", &undone), None).unwrap();
        assert!(!new.is_prompt);
        assert_eq!(new.tags, [Tag::from((PROMPT_TAG, "false"))]);
        let pattern = regex::Regex::new("^s3://").unwrap();
        let message = NewModelVersion::new(request("/x", &[]), Some(&pattern)).unwrap_err().message;
        assert_eq!(message, "Invalid model version source: '/x'.");
    }

    #[test]
    fn a_prompt_that_is_too_long_is_called_so() {
        let long = "x".repeat(MAX_TAG_VALUE_LENGTH + 1);
        let message = validate_version_tag(PROMPT_TEXT_TAG, &long).unwrap_err().message;
        assert_eq!(message, "Prompt text exceeds max length of 100000 characters.");
        let message = validate_version_tag("k", &long).unwrap_err().message;
        assert_eq!(message, "'value' exceeds the maximum length of 100000 characters");
    }
}

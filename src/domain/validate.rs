//! Every limit on what a client may send, once, with stock's messages.
//!
//! Lengths are counted in characters, as Python counts them. Upstream: `mlflow.utils.validation`.

use std::path::PathBuf;

use regex::Regex;

use super::error::MAX_MESSAGE;
use super::scorer::CustomScorers;
use super::{Error, ErrorCode, Result, artifact_uri, python};
use crate::proto::outline::{self, Outline};

/// Longest key of a metric, param or tag.
pub const MAX_KEY_LENGTH: usize = 250;
/// Longest value of a param; longer ones are cut.
pub const MAX_PARAM_VALUE_LENGTH: usize = 6000;
/// Longest value of a run's tag; longer ones are cut.
pub const MAX_TAG_VALUE_LENGTH: usize = 8000;
/// Longest name of an experiment.
pub const MAX_EXPERIMENT_NAME_LENGTH: usize = 500;
/// Longest value of an experiment's tag.
pub const MAX_EXPERIMENT_TAG_VALUE_LENGTH: usize = 20_000;
/// Most results of one search.
pub const MAX_SEARCH_RESULTS: i64 = 50_000;
/// Most metrics in one batch.
pub const MAX_METRICS_PER_BATCH: usize = 1000;
/// Most params, and most tags, in one batch.
pub const MAX_PARAMS_TAGS_PER_BATCH: usize = 100;
/// Most metrics, params and tags together in one batch.
pub const MAX_ENTITIES_PER_BATCH: usize = 1000;
/// Most runs whose histories are asked for at once.
pub const MAX_HISTORY_RUNS: usize = 100;
/// Most points of several runs' histories together.
pub const MAX_HISTORY_BULK_RESULTS: i64 = 25_000;
/// Most points of a sampled history.
pub const MAX_SAMPLED_POINTS: usize = 2500;

/// Whether params and tags that are too long are cut (stock's default) or refused.
///
/// Upstream: `MLFLOW_TRUNCATE_LONG_VALUES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LongValues {
    /// Cut to the limit.
    #[default]
    Truncate,
    /// Refuse with `INVALID_PARAMETER_VALUE`.
    Refuse,
}

/// The limits that a server's settings can move.
#[derive(Debug, Clone)]
pub struct Limits {
    /// What happens to params and tags that are too long.
    pub long_values: LongValues,
    /// Longest artifact location of an experiment. Upstream: `MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH`.
    pub location_length: usize,
    /// Most fields at the root of a GraphQL query. Upstream: `MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS`.
    pub graphql_root_fields: usize,
    /// Most aliases at one level of a GraphQL query. Upstream: `MLFLOW_SERVER_GRAPHQL_MAX_ALIASES`.
    pub graphql_aliases: usize,
    /// What relative artifact locations are relative to.
    pub working_directory: PathBuf,
    /// What the source of a model version must match. Upstream:
    /// `MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX`.
    pub model_source_pattern: Option<Regex>,
    /// Whether scorers that carry code may be registered. Upstream: `MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS`.
    pub custom_scorers: CustomScorers,
    /// Values that one body may hold: items of lists and fields of objects. Too low and large exports are refused; each
    /// costs some hundred bytes of memory while it is read.
    pub elements: usize,
}

impl Limits {
    /// How many root fields stock allows a GraphQL query.
    pub const GRAPHQL_ROOT_FIELDS: usize = 10;
    /// How many aliases stock allows a level of a GraphQL query.
    pub const GRAPHQL_ALIASES: usize = 10;
    /// Values that one body may hold: more than the largest exports have.
    pub const ELEMENTS: usize = 5_000_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            long_values: LongValues::default(),
            location_length: artifact_uri::DEFAULT_MAX_LOCATION_LENGTH,
            graphql_root_fields: Self::GRAPHQL_ROOT_FIELDS,
            graphql_aliases: Self::GRAPHQL_ALIASES,
            working_directory: std::env::current_dir().unwrap_or_default(),
            model_source_pattern: None,
            custom_scorers: CustomScorers::default(),
            elements: Self::ELEMENTS,
        }
    }
}

/// Composes stock's message about an invalid value.
pub fn invalid_value(path: &str, value: &str, reason: &str) -> Error {
    // No more of it would be told.
    let value = python::json_string(value.get(..value.floor_char_boundary(MAX_MESSAGE)).unwrap_or(value));
    Error::invalid(format!("Invalid value {value} for parameter '{path}' supplied: {reason}"))
}

/// Returns the first and the last step that are asked for; all steps when none are named.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` when only one is named or they are in the wrong order.
/// Upstream: `get_metric_history_bulk_interval_impl`.
pub fn step_range(start: Option<i32>, end: Option<i32>) -> Result<(i64, i64)> {
    match (start, end) {
        (None, None) => Ok((i64::MIN, i64::MAX)),
        (Some(start), Some(end)) if start > end => Err(Error::invalid(format!(
            "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
        ))),
        (Some(start), Some(end)) => Ok((start.into(), end.into())),
        _ => Err(Error::invalid("If either start step or end step are specified, both must be specified.")),
    }
}

/// Checks the key of a metric, param or tag: only allowed characters, and no path but itself.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`, with `path` as the name of the parameter.
pub fn key(key: &str, path: &str) -> Result<()> {
    if !key.strip_suffix('\n').unwrap_or(key).chars().all(is_key_character) {
        return Err(invalid_value(
            path,
            key,
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
             colon(:) and slashes (/).",
        ));
    }
    only_itself(key, path)
}

/// Checks that `name`, taken as a path, is no path but itself.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`, with `path` as the name of the parameter. Upstream: `path_not_unique`.
pub fn only_itself(name: &str, path: &str) -> Result<()> {
    let normal = normalize_path(name);
    if normal == name && normal != "." && !normal.starts_with("..") && !normal.starts_with('/') {
        return Ok(());
    }
    let reason = format!(
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as \
         such. This name would resolve to {}",
        python::repr(&normal)
    );
    Err(invalid_value(path, name, &reason))
}

fn is_key_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '_' | '.' | '-' | ' ' | ':')
}

/// Resolves `.`, `..` and doubled slashes by text alone. Upstream: Python's `posixpath.normpath`.
pub fn normalize_path(path: &str) -> String {
    let root = match path {
        "" => return ".".into(),
        p if p.starts_with("//") && !p.starts_with("///") => "//",
        p if p.starts_with('/') => "/",
        _ => "",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".into() } else { joined }
}

/// Checks that `value` has at most `limit` characters.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE`, with `name` in the message.
pub fn length(name: &str, limit: usize, value: &str) -> Result<()> {
    if value.len() <= limit || value.chars().count() <= limit { Ok(()) } else { Err(too_long(name, limit)) }
}

/// Returns `value`, cut to `limit` characters where `long` says so.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for a value that is too long and may not be cut.
pub fn cut(name: &str, limit: usize, mut value: String, long: LongValues) -> Result<String> {
    if value.len() <= limit {
        return Ok(value);
    }
    if let Some((end, _)) = value.char_indices().nth(limit) {
        if long == LongValues::Refuse {
            return Err(too_long(name, limit));
        }
        value.truncate(end);
    }
    Ok(value)
}

fn too_long(name: &str, limit: usize) -> Error {
    Error::invalid(format!("'{name}' exceeds the maximum length of {limit} characters"))
}

/// Checks the form of a run id.
pub fn run_id(id: &str) -> Result<()> {
    let mut chars = id.strip_suffix('\n').unwrap_or(id).chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = chars.try_fold(1, |n, c| (c.is_alphanumeric() || matches!(c, '_' | '-')).then_some(n + 1));
    if first && rest.is_some_and(|n| n <= 256) {
        return Ok(());
    }
    Err(Error::invalid(format!("Invalid value {} for parameter 'run_id' supplied.", python::json_string(id))))
}

/// How many times more values than objects in one list a body may hold.
const VALUES_PER_OBJECT: usize = 500;

/// Checks what a body holds before it is read.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for too many values, for a list of too many objects, for values that lie too deep.
pub fn check_outline(outline: &Outline<'_>, limits: &Limits) -> Result<()> {
    let (name, count) = outline.longest_list;
    let most = limits.elements / VALUES_PER_OBJECT;
    if count > most {
        return Err(Error::invalid(format!(
            "The list '{name}' of the request has {count} items, of which at most {most} are read. {}",
            elements_setting(limits)
        )));
    }
    check_values(outline, limits)
}

/// Checks only how many values there are and how deep they lie.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for too many, and for those that lie too deep.
pub fn check_values(outline: &Outline<'_>, limits: &Limits) -> Result<()> {
    if outline.is_too_deep {
        let most = outline::MAX_DEPTH;
        return Err(Error::invalid(format!("The request has values that lie deeper than {most} levels.")));
    }
    if outline.values > limits.elements {
        return Err(Error::invalid(format!(
            "The request holds {} values, of which at most {} are read. {}",
            outline.values,
            limits.elements,
            elements_setting(limits)
        )));
    }
    Ok(())
}

/// Returns how many values a JSON text holds, as far as that matters.
///
/// # Errors
/// As [`check_values`].
pub fn count_values(text: &[u8], limits: &Limits) -> Result<usize> {
    if outline::is_small(text) {
        return Ok(0);
    }
    let outline = Outline::of(text, &[]);
    check_values(&outline, limits).map(|()| outline.values)
}

/// Says where the limit on values comes from.
pub fn elements_setting(limits: &Limits) -> String {
    format!("--max-elements {} (FERROFLOW_MAX_ELEMENTS) is the setting.", limits.elements)
}

/// Checks the number of things in one batch.
pub fn batch_limit(what: &str, limit: usize, count: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "A batch logging request can contain at most {limit} {what}. Got {count} {what}. Please split up {what} \
         across multiple requests and try again."
    )))
}

/// Reads an experiment id.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything but a whole number.
pub fn experiment_id(text: &str) -> Result<i32> {
    let number: i128 = text.trim().replace('_', "").parse().map_err(|_e| {
        Error::invalid(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer."))
    })?;
    // No experiment has an id beyond the column's type; such a one does not exist.
    i32::try_from(number).map_err(|_e| Error::not_found(format!("No Experiment with id={number} exists")))
}

/// Reads the experiment ids of a search. An id beyond the column's type names no experiment, so it is left out.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for anything but whole numbers. Upstream: `_parse_experiment_ids`.
pub fn searched_experiment_ids<S: AsRef<str>>(texts: &[S]) -> Result<Vec<i32>> {
    let known = texts.iter().filter_map(|text| match experiment_id(text.as_ref()) {
        Err(e) if e.code == ErrorCode::ResourceDoesNotExist => None,
        read => Some(read),
    });
    known.collect()
}

/// Checks that the places in which a search of traces looks are experiments and no tables.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for names with a dot. Upstream: `_resolve_experiment_ids_and_locations`.
pub fn searched_locations<S: AsRef<str>>(texts: &[S]) -> Result<()> {
    let tables: Vec<&str> = texts.iter().map(AsRef::as_ref).filter(|text| text.contains('.')).collect();
    if tables.is_empty() {
        return Ok(());
    }
    let mut names = tables.join(", ");
    if let Some((end, _)) = names.char_indices().nth(20) {
        names.truncate(end);
        names.push_str("...");
    }
    Err(Error::invalid(format!(
        "Locations must be a list of experiment IDs. Found invalid experiment IDs: {names}."
    )))
}

/// Checks the number of results that a search is asked for, and returns it.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for less than one or more than [`MAX_SEARCH_RESULTS`]. Upstream:
/// `SqlAlchemyStore._validate_max_results_param`.
pub fn max_results(count: i64) -> Result<i64> {
    let refused = |rule: &str| {
        Error::invalid(format!(
            "Invalid value {count} for parameter 'max_results' supplied. It must be {rule}"
        ))
    };
    match count {
        1..=MAX_SEARCH_RESULTS => Ok(count),
        ..1 => Err(refused("a positive integer")),
        _ => Err(refused(&format!("at most {MAX_SEARCH_RESULTS}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_other_paths_are_refused() {
        for good in ["a", "a/b", "a.b", "a b:c-d_e", "é", "日本", "...", "a\n"] {
            let is_ok = key(good, "key").is_ok();
            assert_eq!(is_ok, good != "...", "{good}");
        }
        for (bad, resolves_to) in [
            ("", "'.'"),
            (".", "'.'"),
            ("..", "'..'"),
            ("../bad", "'../bad'"),
            ("/a", "'/a'"),
            ("a//b", "'a/b'"),
            ("a/", "'a'"),
            ("a/./b", "'a/b'"),
            ("a/../b", "'b'"),
        ] {
            let message = key(bad, "key").unwrap_err().message;
            assert!(message.ends_with(&format!("would resolve to {resolves_to}")), "{bad}: {message}");
        }
        for bad in ["a,b", "a\tb", "a@b", "a\0", "a(b)"] {
            let message = key(bad, "key").unwrap_err().message;
            assert!(message.contains("Names may only contain alphanumerics"), "{bad}: {message}");
        }
    }

    #[test]
    fn long_values_are_cut_by_characters() {
        let cut_to = |text: &str| cut("v", 3, text.into(), LongValues::Truncate).unwrap();
        assert_eq!(cut_to("ab"), "ab");
        assert_eq!(cut_to("abcd"), "abc");
        assert_eq!(cut_to("日本語"), "日本語");
        assert_eq!(cut_to("日本語だ"), "日本語");
        assert!(cut("v", 3, "abcd".into(), LongValues::Refuse).is_err());
        assert!(length("v", 3, "日本語").is_ok());
        assert!(length("v", 3, "日本語だ").is_err());
    }

    #[test]
    fn ids_have_their_form() {
        assert!(run_id("0db7fce9652549dabe155c55e386947b").is_ok());
        for bad in ["", "-a", "a b", "a/b", &"a".repeat(257)] {
            assert!(run_id(bad).is_err(), "{bad}");
        }
        assert_eq!(experiment_id("12").unwrap(), 12);
        assert_eq!(experiment_id(" 12 ").unwrap(), 12);
        assert!(experiment_id("abc").unwrap_err().message.starts_with("Invalid experiment ID 'abc'."));
        let ids = ["1".to_owned(), "99999999999".to_owned()];
        assert_eq!(searched_experiment_ids(&ids).unwrap(), [1]);
        assert!(experiment_id("99999999999").unwrap_err().message.starts_with("No Experiment with id="));
    }
}

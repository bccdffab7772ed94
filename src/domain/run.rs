//! Runs: what may be logged to them, and the names they get.

use std::collections::HashSet;

use rand::seq::IndexedRandom as _;

use super::distinct::one_of_each;
use super::ids::RunId;
use super::validate::{self, LongValues};
use super::{Error, Result, python};
use crate::proto::{LogBatch, LogMetric, LogParam, Metric, Param, RunTag, SetTag};

/// The tag that carries a run's name; it is kept equal to the name.
pub const RUN_NAME_TAG: &str = "mlflow.runName";

/// A metric as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMetric {
    /// What was measured.
    pub key: String,
    /// The value; 0 for NaN, the largest finite numbers for the infinities.
    pub value: f64,
    /// Whether the value is not a number.
    pub is_nan: bool,
    /// Milliseconds since the Unix epoch; not negative.
    pub timestamp_ms: i64,
    /// The step; may be negative.
    pub step: i64,
    /// The logged model that was measured, with the dataset it was measured on.
    pub model: Option<MeasuredModel>,
}

/// Which model a metric belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeasuredModel {
    /// The logged model.
    pub model_id: String,
    /// Name of the dataset.
    pub dataset_name: Option<String>,
    /// Digest of the dataset.
    pub dataset_digest: Option<String>,
}

/// How the params of a batch came, which decides stock's message when one is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamsFrom {
    /// One by `log-parameter`.
    LogParam,
    /// Any number by `log-batch`.
    LogBatch,
}

/// What one request logs to one run, validated: all of it is stored or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBatch {
    /// The run.
    pub run_id: RunId,
    /// Metrics, in the order of the request.
    pub metrics: Vec<NewMetric>,
    /// Params with distinct keys.
    pub params: Vec<Param>,
    /// How the params came.
    pub params_from: ParamsFrom,
    /// Tags with distinct keys, the last value of each.
    pub tags: Vec<RunTag>,
}

impl NewBatch {
    fn empty(run_id: RunId) -> Self {
        Self { run_id, metrics: vec![], params: vec![], params_from: ParamsFrom::LogBatch, tags: vec![] }
    }

    /// Validates a `log-metric` request. Upstream: `SqlAlchemyStore.log_metric`.
    pub fn from_metric(r: LogMetric) -> Result<Self> {
        let metric = Metric {
            key: r.key,
            value: r.value,
            timestamp: r.timestamp,
            step: r.step,
            dataset_name: r.dataset_name,
            dataset_digest: r.dataset_digest,
            model_id: r.model_id,
            run_id: None,
        };
        require_whole_dataset(&metric)?;
        let metric = new_metric(metric, "")?;
        Ok(Self { metrics: vec![metric], ..Self::empty(either_id(r.run_id, r.run_uuid)) })
    }

    /// Validates a `log-parameter` request. Upstream: `SqlAlchemyStore.log_param`.
    pub fn from_param(r: LogParam, long: LongValues) -> Result<Self> {
        let param = new_param(Param { key: r.key, value: r.value }, "", long)?;
        let run_id = either_id(r.run_id, r.run_uuid);
        Ok(Self { params: vec![param], params_from: ParamsFrom::LogParam, ..Self::empty(run_id) })
    }

    /// Validates a `set-tag` request. Upstream: `SqlAlchemyStore.set_tag`.
    pub fn from_tag(r: SetTag, long: LongValues) -> Result<Self> {
        let tag = new_tag(RunTag { key: r.key, value: r.value }, "", long)?;
        Ok(Self { tags: vec![tag], ..Self::empty(either_id(r.run_id, r.run_uuid)) })
    }

    /// Validates a `log-batch` request. Upstream: `_log_batch`, `SqlAlchemyStore.log_batch`.
    pub fn from_batch(r: LogBatch, long: LongValues) -> Result<Self> {
        r.metrics.iter().try_for_each(require_whole_dataset)?;
        let run_id = RunId::from(r.run_id);
        validate::run_id(&run_id)?;
        let (metrics, params, tags) = (r.metrics.len(), r.params.len(), r.tags.len());
        let batch = Self {
            run_id,
            metrics: each_indexed("metrics", r.metrics, new_metric)?,
            params: each_indexed("params", r.params, |p, path| new_param(p, path, long))?,
            params_from: ParamsFrom::LogBatch,
            tags: last_of_each(each_indexed("tags", r.tags, |t, path| new_tag(t, path, long))?),
        };
        validate::batch_limit("metrics", validate::MAX_METRICS_PER_BATCH, metrics)?;
        validate::batch_limit("params", validate::MAX_PARAMS_TAGS_PER_BATCH, params)?;
        validate::batch_limit("tags", validate::MAX_PARAMS_TAGS_PER_BATCH, tags)?;
        let total = metrics + params + tags;
        validate::batch_limit("metrics, params, and tags", validate::MAX_ENTITIES_PER_BATCH, total)?;
        distinct_params(&batch.params)?;
        Ok(batch)
    }
}

/// Returns the run id of a request that may name it in the old way only.
pub fn either_id(run_id: Option<String>, run_uuid: Option<String>) -> RunId {
    run_id.filter(|id| !id.is_empty()).or(run_uuid).into()
}

fn each_indexed<T, U>(name: &str, items: Vec<T>, mut f: impl FnMut(T, &str) -> Result<U>) -> Result<Vec<U>> {
    let mut path = String::new();
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| {
            use std::fmt::Write as _;
            path.clear();
            let _ = write!(path, "{name}[{i}].");
            f(item, &path)
        })
        .collect()
}

/// Upstream: `Metric.__init__`.
fn require_whole_dataset(m: &Metric) -> Result<()> {
    if m.dataset_name().is_empty() == m.dataset_digest().is_empty() {
        return Ok(());
    }
    Err(Error::invalid("Both dataset_name and dataset_digest must be provided if one is provided"))
}

fn new_metric(m: Metric, path: &str) -> Result<NewMetric> {
    let key = m.key.unwrap_or_default();
    if let Err(e) = validate::key(&key, "") {
        // The path is composed only when it is needed.
        return validate::key(&key, &format!("{path}name")).and(Err(e));
    }
    let (value, timestamp_ms) = (m.value.unwrap_or_default(), m.timestamp.unwrap_or_default());
    if timestamp_ms < 0 {
        return Err(Error::invalid(format!(
            "Invalid value {timestamp_ms} for parameter '{path}timestamp' supplied: metric '{key}' (value={}). \
             Timestamp must be a nonnegative long (64-bit integer) ",
            python::float(value)
        )));
    }
    validate::length("Metric name", validate::MAX_KEY_LENGTH, &key)?;
    let model = m.model_id.filter(|id| !id.is_empty()).map(|model_id| MeasuredModel {
        model_id,
        dataset_name: m.dataset_name.filter(|s| !s.is_empty()),
        dataset_digest: m.dataset_digest.filter(|s| !s.is_empty()),
    });
    Ok(NewMetric {
        key,
        value: storable(value),
        is_nan: value.is_nan(),
        timestamp_ms,
        step: m.step.unwrap_or_default(),
        model,
    })
}

/// Returns the number that stands for `value` in the database.
///
/// Upstream: `SqlAlchemyStore.sanitize_metric_value`.
fn storable(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(f64::MIN, f64::MAX) }
}

fn new_param(p: Param, path: &str, long: LongValues) -> Result<Param> {
    let key = p.key.unwrap_or_default();
    validate::key(&key, &format!("{path}key"))?;
    validate::length("Param key", validate::MAX_KEY_LENGTH, &key)?;
    let value =
        validate::cut("Param value", validate::MAX_PARAM_VALUE_LENGTH, p.value.unwrap_or_default(), long)?;
    Ok(Param { key: Some(key), value: Some(value) })
}

fn new_tag(t: RunTag, path: &str, long: LongValues) -> Result<RunTag> {
    let key = t.key.unwrap_or_default();
    validate::key(&key, &format!("{path}key"))?;
    validate::length(&format!("{path}key"), validate::MAX_KEY_LENGTH, &key)?;
    let (name, value) = (format!("{path}value"), t.value.unwrap_or_default());
    let value = validate::cut(&name, validate::MAX_TAG_VALUE_LENGTH, value, long)?;
    Ok(RunTag { key: Some(key), value: Some(value) })
}

/// Keeps the last tag of each key, in the order of their first appearance.
fn last_of_each(tags: Vec<RunTag>) -> Vec<RunTag> {
    one_of_each(tags.into_iter(), |tag| tag.key.clone(), |_, _| true)
}

fn distinct_params(params: &[Param]) -> Result<()> {
    let mut seen = HashSet::new();
    let repeated: Vec<String> =
        params.iter().map(Param::key).filter(|key| !seen.insert(*key)).map(python::repr).collect();
    if repeated.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains only one param \
         value per param key.",
        repeated.join(", ")
    )))
}

/// Returns the name of a new run: the one asked for, the one in its tags, or one drawn at random.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` when the request names it in two ways that differ.
pub fn name_of_new_run(run_name: Option<&str>, tags: &[RunTag]) -> Result<String> {
    let asked = run_name.filter(|n| !n.is_empty());
    let tagged = tags.iter().find(|t| t.key() == RUN_NAME_TAG).map(RunTag::value).filter(|n| !n.is_empty());
    match (asked, tagged) {
        (Some(asked), Some(tagged)) if asked != tagged => Err(Error::invalid(format!(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
             (run_name='{asked}', mlflow.runName='{tagged}')."
        ))),
        (Some(name), _) | (None, Some(name)) => Ok(name.to_owned()),
        (None, None) => Ok(random_name()),
    }
}

/// Draws a name of the form `quality-thing-number`, at most 20 characters long.
pub fn random_name() -> String {
    const QUALITIES: [&str; 40] = [
        "able", "amber", "apt", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cool",
        "crisp", "eager", "fair", "fast", "fine", "firm", "fond", "fresh", "glad", "grand", "keen", "kind",
        "light", "lucky", "mild", "neat", "noble", "proud", "quick", "quiet", "rapid", "sharp", "smart",
        "steady", "swift", "tidy", "warm", "wise", "young",
    ];
    const THINGS: [&str; 40] = [
        "anvil", "ash", "bear", "birch", "brook", "cedar", "cloud", "comet", "crane", "delta", "dune", "elk",
        "ember", "falcon", "fern", "finch", "forge", "fox", "glade", "grove", "hare", "hawk", "heron",
        "ibis", "lark", "lynx", "maple", "moss", "oak", "otter", "owl", "peak", "pine", "reef", "ridge",
        "river", "stone", "tern", "tide", "wren",
    ];
    let mut rng = rand::rng();
    let quality = QUALITIES.choose(&mut rng).unwrap_or(&"calm");
    let thing = THINGS.choose(&mut rng).unwrap_or(&"otter");
    format!("{quality}-{thing}-{}", rand::random_range(0..=1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(json: &str) -> Result<NewBatch> {
        NewBatch::from_batch(serde_json::from_str(json).unwrap(), LongValues::Truncate)
    }

    #[test]
    fn log_batch_keeps_the_limits() {
        let metrics: Vec<_> =
            (0..1001).map(|i| format!(r#"{{"key":"m{i}","value":1,"timestamp":1}}"#)).collect();
        let message =
            batch(&format!(r#"{{"run_id":"r","metrics":[{}]}}"#, metrics.join(","))).unwrap_err().message;
        assert!(message.starts_with("A batch logging request can contain at most 1000 metrics. Got 1001"));
        let message = batch(r#"{"run_id":"r","params":[{"key":"a","value":"1"},{"key":"a","value":"1"}]}"#)
            .unwrap_err();
        assert!(message.message.starts_with("Duplicate parameter keys have been submitted: ['a']."));
    }

    #[test]
    fn datasets_have_a_name_and_a_digest() {
        for (dataset, is_ok) in [
            (r#""dataset_name":"d","dataset_digest":"x""#, true),
            (r#""dataset_name":"d""#, false),
            (r#""dataset_digest":"x""#, false),
        ] {
            let metric = format!(r#"{{"key":"x","value":1,"timestamp":1,{dataset}}}"#);
            assert_eq!(batch(&format!(r#"{{"run_id":"r","metrics":[{metric}]}}"#)).is_ok(), is_ok);
            assert_eq!(NewBatch::from_metric(serde_json::from_str(&metric).unwrap()).is_ok(), is_ok);
        }
    }

    #[test]
    fn paths_name_the_item() {
        let message =
            batch(r#"{"run_id":"r","metrics":[{"key":"../x","value":1,"timestamp":1}]}"#).unwrap_err();
        assert!(message.message.contains("for parameter 'metrics[0].name' supplied"), "{message}");
        let message =
            batch(r#"{"run_id":"r","metrics":[{"key":"x","value":1,"timestamp":-1}]}"#).unwrap_err();
        assert!(message.message.starts_with(
            "Invalid value -1 for parameter 'metrics[0].timestamp' supplied: metric 'x' (value=1.0)."
        ));
    }

    #[test]
    fn values_are_made_storable() {
        let json = r#"{"run_id":"r","metrics":[{"key":"a","value":"NaN","timestamp":1},
            {"key":"b","value":"Infinity","timestamp":1},{"key":"c","value":"-Infinity","timestamp":1}]}"#;
        let stored: Vec<_> = batch(json).unwrap().metrics.iter().map(|m| (m.value, m.is_nan)).collect();
        assert_eq!(stored, [(0.0, true), (f64::MAX, false), (f64::MIN, false)]);
    }

    #[test]
    fn the_last_tag_of_a_key_wins() {
        let json = r#"{"run_id":"r","tags":[{"key":"a","value":"1"},{"key":"b","value":"2"},{"key":"a","value":"3"}]}"#;
        let tags: Vec<_> =
            batch(json).unwrap().tags.iter().map(|t| format!("{}={}", t.key(), t.value())).collect();
        assert_eq!(tags, ["a=3", "b=2"]);
    }

    #[test]
    fn random_names_stay_short() {
        assert!((0..1000).all(|_| random_name().len() <= 20));
    }
}

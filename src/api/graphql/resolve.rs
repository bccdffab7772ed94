//! Resolvers: root fields are calls of the store, nested ones are parts of the returned messages.
//!
//! A message is held as its JSON form; a field is looked up there by its name in `snake_case`. An unset field
//! has the default of its type, as in Python's protobuf messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::web::Query;
use apollo_compiler::Schema;
use apollo_compiler::ast::Type;
use apollo_compiler::resolvers::{AsyncObjectValue, AsyncResolvedValue, FieldError, ResolveInfo};
use apollo_compiler::response::JsonValue;
use apollo_compiler::schema::ExtendedType;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::artifacts::list_run_artifacts;
use crate::api::metrics::SampleAnswer;
use crate::api::reply;
use crate::api::state::App;
use crate::domain::dataset::searched_experiments;
use crate::domain::ids::ExperimentId;
use crate::domain::run::either_id;
use crate::domain::validate::{MAX_SAMPLED_POINTS, step_range};
use crate::domain::{Error, ErrorCode, Result};
use crate::proto::{
    GetExperiment, GetMetricHistoryBulkInterval, GetRun, ModelVersion, SearchDatasets, get_experiment,
    get_run, search_datasets,
};
use crate::store::runs::metrics::SampleQuery;

type Resolved<'a> = BoxFuture<'a, Result<AsyncResolvedValue<'a>, FieldError>>;

/// `Query` or `Mutation`.
pub(super) struct Root {
    app: App,
    type_name: String,
    /// The query string of the request's URL.
    url_query: String,
}

impl Root {
    pub(super) fn new(app: App, type_name: &str, url_query: &str) -> Self {
        Self { app, type_name: type_name.to_owned(), url_query: url_query.to_owned() }
    }

    /// Returns the message that is the value of a field of the root, or null.
    async fn message(&self, field: &str, input: Option<Value>) -> Result<Value> {
        if field == "testMutation" {
            return Ok(Value::Null);
        }
        let input = input.ok_or_else(|| Error::invalid(format!("Field '{field}' needs an argument.")))?;
        let store = &self.app.store;
        match field {
            "test" => Ok(json!({ "output": input })),
            "mlflowGetExperiment" => {
                let r: GetExperiment = read(input)?;
                let experiment = store.get_experiment(ExperimentId::parse(r.experiment_id())?).await?;
                write(&get_experiment::Response { experiment: Some(experiment) })
            }
            "mlflowGetRun" => {
                let r: GetRun = read(input)?;
                let run = store.get_run(either_id(r.run_id, r.run_uuid)).await?;
                write(&get_run::Response { run: Some(run) })
            }
            "mlflowSearchModelVersions" => write(&store.search_model_versions(read(input)?).await?),
            "mlflowSearchRuns" => write(&store.search_runs(read(input)?).await?),
            "mlflowListArtifacts" => write(&list_run_artifacts(&self.app, read(input)?).await?),
            "mlflowGetMetricHistoryBulkInterval" => write(&self.sample(read(input)?).await?),
            "mlflowSearchDatasets" => {
                let r: SearchDatasets = read(input)?;
                let dataset_summaries = store.search_datasets(searched_experiments(&r)?).await?;
                write(&search_datasets::Response { dataset_summaries })
            }
            _ => Err(Error::new(ErrorCode::NotImplemented, format!("The field '{field}' is not served."))),
        }
    }

    /// Samples histories. Stock takes the number of points and the steps from the query string of the URL, not from
    /// the input, and allows any number of runs.
    ///
    /// Upstream: `get_metric_history_bulk_interval_impl`.
    async fn sample(&self, r: GetMetricHistoryBulkInterval) -> Result<SampleAnswer> {
        let url = Query::<HashMap<String, String>>::from_query(&self.url_query)
            .map_err(|e| Error::invalid(format!("The query string cannot be read: {e}")))?;
        let number = |name: &str| {
            let text = url.get(name);
            let number = text.map(|text| text.trim().parse::<i32>()).transpose();
            number.map_err(|_e| Error::invalid(format!("Invalid value for parameter '{name}' supplied.")))
        };
        let max_points =
            number("max_results")?.map_or(MAX_SAMPLED_POINTS, |n| usize::try_from(n).unwrap_or(1));
        let steps = step_range(number("start_step")?, number("end_step")?)?;
        let key = r.metric_key.unwrap_or_default();
        let query = SampleQuery { key: key.clone(), steps, max_points };
        Ok(SampleAnswer::new(key, self.app.store.sample_metric_history(r.run_ids, query).await?))
    }
}

impl AsyncObjectValue for Root {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        Box::pin(async move {
            let arguments = info.arguments();
            let input = arguments.get("input").or_else(|| arguments.get("inputString"));
            let input = input.map(|input| serde_json::to_value(input).unwrap_or_default());
            let message = self.message(info.field_name(), input).await.map_err(|e| field_error(&e))?;
            if message.is_null() {
                return Ok(AsyncResolvedValue::null());
            }
            let around = Arc::new(Around::new(self.app.clone(), &message));
            shape(info.schema(), &info.field_definition().ty, Some(Cow::Owned(message)), &around)
        })
    }
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T> {
    serde_json::from_value(input).map_err(|e| Error::invalid(format!("The input cannot be read: {e}")))
}

fn write<T: Serialize>(message: &T) -> Result<Value> {
    serde_json::to_value(message).map_err(Error::internal)
}

fn field_error(error: &Error) -> FieldError {
    reply::log(error);
    FieldError { message: error.message.clone() }
}

/// Data joined to the runs of a response; loaded lazily, for all of them at once.
struct Around {
    app: App,
    run_ids: Vec<String>,
    experiment_ids: Vec<String>,
    experiments: OnceCell<HashMap<String, Value>>,
    model_versions: OnceCell<HashMap<String, Vec<ModelVersion>>>,
}

impl Around {
    /// Finds the runs of `message`: in `run` or in `runs`.
    fn new(app: App, message: &Value) -> Self {
        let many = message.get("runs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let runs: Vec<&Value> = message.get("run").into_iter().chain(many).collect();
        let texts = |path| {
            let all = runs.iter().filter_map(|run| run.pointer(path)).filter_map(Value::as_str);
            all.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut experiment_ids = texts("/info/experiment_id");
        experiment_ids.sort_unstable();
        experiment_ids.dedup();
        let run_ids = texts("/info/run_id");
        Self { app, run_ids, experiment_ids, experiments: OnceCell::new(), model_versions: OnceCell::new() }
    }

    async fn experiment(&self, id: &str) -> Result<Option<Value>> {
        let load = || async {
            let mut experiments = HashMap::new();
            for id in &self.experiment_ids {
                let experiment = self.app.store.get_experiment(ExperimentId::parse(id)?).await?;
                experiments.insert(id.clone(), write(&experiment)?);
            }
            Ok::<_, Error>(experiments)
        };
        Ok(self.experiments.get_or_try_init(load).await?.get(id).cloned())
    }

    async fn model_versions(&self, run_id: &str) -> Result<Value> {
        let load = || self.app.store.model_versions_of_runs(self.run_ids.clone());
        let versions = self.model_versions.get_or_try_init(load).await?;
        write(&versions.get(run_id).map(Vec::as_slice).unwrap_or_default())
    }
}

/// A message.
struct Node<'a> {
    type_name: &'a str,
    message: Cow<'a, Value>,
    around: Arc<Around>,
}

impl Node<'_> {
    fn text(&self, path: &str) -> &str {
        self.message.pointer(path).and_then(Value::as_str).unwrap_or_default()
    }
}

impl AsyncObjectValue for Node<'_> {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        Box::pin(async move {
            let value = match (self.type_name, info.field_name()) {
                // Stock has the field but never a value for it: what fails is in the list of errors.
                (_, "apiError") => return Ok(AsyncResolvedValue::null()),
                ("MlflowRunExtension", "experiment") => {
                    let experiment = self.around.experiment(self.text("/info/experiment_id")).await;
                    experiment.map_err(|e| field_error(&e))?.map(Cow::Owned)
                }
                ("MlflowRunExtension", "modelVersions") => {
                    let versions = self.around.model_versions(self.text("/info/run_id")).await;
                    Some(Cow::Owned(versions.map_err(|e| field_error(&e))?))
                }
                ("MlflowMetricExtension", "value") if self.text("/value") == "NaN" => {
                    return Ok(AsyncResolvedValue::null());
                }
                (_, name) => self.message.get(snake_case(name)).map(Cow::Borrowed),
            };
            shape(info.schema(), &info.field_definition().ty, value, &self.around)
        })
    }
}

/// Coerces a part of a message to its type.
fn shape<'a>(
    schema: &'a Schema,
    ty: &'a Type,
    value: Option<Cow<'a, Value>>,
    around: &Arc<Around>,
) -> Result<AsyncResolvedValue<'a>, FieldError> {
    if ty.is_list() {
        let items: Vec<Cow<'a, Value>> = match value {
            Some(Cow::Borrowed(Value::Array(items))) => items.iter().map(Cow::Borrowed).collect(),
            Some(Cow::Owned(Value::Array(items))) => items.into_iter().map(Cow::Owned).collect(),
            _ => Vec::new(),
        };
        let items = items.into_iter().map(|item| shape(schema, ty.item_type(), Some(item), around));
        return Ok(AsyncResolvedValue::list(items.collect::<Result<Vec<_>, _>>()?));
    }
    let name = ty.inner_named_type();
    match schema.types.get(name) {
        Some(ExtendedType::Object(_)) => Ok(AsyncResolvedValue::object(Node {
            type_name: name.as_str(),
            message: value.unwrap_or_else(|| Cow::Owned(json!({}))),
            around: Arc::clone(around),
        })),
        Some(ExtendedType::Enum(values)) => {
            let first = || values.values.keys().next().map_or(JsonValue::Null, |name| name.as_str().into());
            let given = value.as_deref().and_then(Value::as_str).map(JsonValue::from);
            Ok(AsyncResolvedValue::Leaf(given.unwrap_or_else(first)))
        }
        _ => scalar(name.as_str(), value.as_deref()).map(AsyncResolvedValue::Leaf),
    }
}

fn scalar(ty: &str, value: Option<&Value>) -> Result<JsonValue, FieldError> {
    Ok(match (ty, value) {
        ("LongString", Some(Value::Number(number))) => number.to_string().into(),
        ("LongString", None) => "0".into(),
        ("Float", Some(Value::String(text))) => {
            let message = format!("Float cannot represent non numeric value: {}", text.to_lowercase());
            return Err(FieldError { message });
        }
        ("Float", None) => 0.0.into(),
        ("Boolean", None) => false.into(),
        ("Int", None) => 0.into(),
        (_, None) => "".into(),
        (_, Some(value)) => value.clone().into(),
    })
}

/// `runUuid` is `run_uuid`.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_those_of_messages() {
        for (name, want) in
            [("key", "key"), ("runUuid", "run_uuid"), ("lastUpdatedTimestamp", "last_updated_timestamp")]
        {
            assert_eq!(snake_case(name), want);
        }
    }

    #[test]
    fn scalars_have_the_defaults_of_messages() {
        let text =
            |ty, value: Option<Value>| serde_json::to_string(&scalar(ty, value.as_ref()).ok()).unwrap();
        for (ty, value, want) in [
            ("LongString", Some(json!(9_007_199_254_740_993_i64)), "\"9007199254740993\""),
            ("LongString", None, "\"0\""),
            ("Float", Some(json!(1.5)), "1.5"),
            ("Float", None, "0.0"),
            ("Float", Some(json!("NaN")), "null"),
            ("String", None, "\"\""),
            ("Boolean", None, "false"),
        ] {
            assert_eq!(text(ty, value.clone()), want, "{ty} {value:?}");
        }
    }
}

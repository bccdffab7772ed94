//! Datasets that runs read: what may be logged as an input, and what a search of datasets may ask for.

use std::collections::HashSet;

use super::ids::RunId;
use super::validate::{self, length};
use super::{Error, Result};
use crate::proto::{Dataset, DatasetInput, InputTag, LogInputs, ModelInput, SearchDatasets};

/// Longest name of a dataset.
pub const MAX_NAME_LENGTH: usize = 500;
/// Longest digest.
pub const MAX_DIGEST_LENGTH: usize = 36;
/// Longest source.
pub const MAX_SOURCE_LENGTH: usize = 65_535;
/// Longest schema.
pub const MAX_SCHEMA_LENGTH: usize = 1_048_575;
/// Longest profile.
pub const MAX_PROFILE_LENGTH: usize = 16_777_215;
/// Longest key of a tag on the use of a dataset.
pub const MAX_INPUT_TAG_KEY_LENGTH: usize = 255;
/// Longest value of such a tag.
pub const MAX_INPUT_TAG_VALUE_LENGTH: usize = 500;
/// Most experiments in one search of datasets.
pub const MAX_SEARCHED_EXPERIMENTS: usize = 20;
/// Most datasets that one search returns; there are no further pages.
pub const MAX_SUMMARIES: i64 = 1000;
/// The tag that says what a dataset was used for (`training`, …).
pub const CONTEXT_TAG: &str = "mlflow.data.context";

/// What one request logs as read by a run, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInputs {
    /// The run.
    pub run_id: RunId,
    /// The datasets, of each name and digest the first.
    pub datasets: Vec<NewDatasetInput>,
    /// The ids of logged models.
    pub models: Vec<String>,
}

/// A dataset and the tags of its use.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDatasetInput {
    /// The dataset.
    pub dataset: Dataset,
    /// The tags, as they came.
    pub tags: Vec<InputTag>,
}

impl TryFrom<LogInputs> for NewInputs {
    type Error = Error;

    /// Upstream: `SqlAlchemyStore.log_inputs`, `_validate_dataset_inputs`.
    fn try_from(r: LogInputs) -> Result<Self> {
        let run_id = RunId::from(r.run_id);
        validate::run_id(&run_id)?;
        let datasets = r.datasets.into_iter().map(NewDatasetInput::try_from).collect::<Result<_>>()?;
        let models =
            r.models.into_iter().map(|ModelInput { model_id }| model_id.unwrap_or_default()).collect();
        Ok(Self { run_id, datasets: first_of_each(datasets), models })
    }
}

impl TryFrom<DatasetInput> for NewDatasetInput {
    type Error = Error;

    /// Upstream: `_validate_dataset`, `_validate_input_tag`. What is unset counts as empty.
    fn try_from(input: DatasetInput) -> Result<Self> {
        let dataset = input.dataset.unwrap_or_default();
        length("name", MAX_NAME_LENGTH, dataset.name())?;
        length("digest", MAX_DIGEST_LENGTH, dataset.digest())?;
        length("source", MAX_SOURCE_LENGTH, dataset.source())?;
        length("schema", MAX_SCHEMA_LENGTH, dataset.schema())?;
        length("profile", MAX_PROFILE_LENGTH, dataset.profile())?;
        for tag in &input.tags {
            length("key", MAX_INPUT_TAG_KEY_LENGTH, tag.key())?;
            length("value", MAX_INPUT_TAG_VALUE_LENGTH, tag.value())?;
        }
        Ok(Self { dataset, tags: input.tags })
    }
}

fn first_of_each(inputs: Vec<NewDatasetInput>) -> Vec<NewDatasetInput> {
    let mut seen = HashSet::new();
    let is_first: Vec<bool> =
        inputs.iter().map(|i| seen.insert((i.dataset.name(), i.dataset.digest()))).collect();
    inputs.into_iter().zip(is_first).filter_map(|(input, is_first)| is_first.then_some(input)).collect()
}

/// Returns the experiments whose datasets are asked for.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for none, for more than [`MAX_SEARCHED_EXPERIMENTS`], for one that is no number.
/// Upstream: `search_datasets_impl`.
pub fn searched_experiments(r: &SearchDatasets) -> Result<Vec<i32>> {
    let count = r.experiment_ids.len();
    if count == 0 {
        return Err(Error::invalid("SearchDatasets request must specify at least one experiment_id."));
    }
    if count > MAX_SEARCHED_EXPERIMENTS {
        return Err(Error::invalid(format!(
            "SearchDatasets request cannot specify more than {MAX_SEARCHED_EXPERIMENTS} experiment_ids. Received \
             {count} experiment_ids."
        )));
    }
    validate::searched_experiment_ids(&r.experiment_ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(json: &str) -> Result<NewInputs> {
        serde_json::from_str::<LogInputs>(json).unwrap().try_into()
    }

    #[test]
    fn of_equal_datasets_the_first_stays() {
        let read = inputs(
            r#"{"run_id":"r","datasets":[
                {"dataset":{"name":"a","digest":"1","source":"first"}},
                {"dataset":{"name":"b","digest":"1"}},
                {"dataset":{"name":"a","digest":"1","source":"second"}},
                {"dataset":{"name":"a","digest":"2"}}]}"#,
        )
        .unwrap();
        let kept: Vec<_> = read.datasets.iter().map(|i| (i.dataset.name(), i.dataset.digest())).collect();
        assert_eq!(kept, [("a", "1"), ("b", "1"), ("a", "2")]);
        assert_eq!(read.datasets[0].dataset.source(), "first");
    }

    #[test]
    fn lengths_are_limited() {
        for (field, limit) in [("name", 500), ("digest", 36), ("source", 65_535)] {
            let body = |n: usize| {
                format!(r#"{{"run_id":"r","datasets":[{{"dataset":{{"{field}":"{}"}}}}]}}"#, "é".repeat(n))
            };
            assert!(inputs(&body(limit)).is_ok(), "{field}");
            let message = inputs(&body(limit + 1)).unwrap_err().message;
            assert_eq!(message, format!("'{field}' exceeds the maximum length of {limit} characters"));
        }
        for (field, limit) in [("key", 255), ("value", 500)] {
            let body = |n: usize| {
                format!(r#"{{"run_id":"r","datasets":[{{"tags":[{{"{field}":"{}"}}]}}]}}"#, "x".repeat(n))
            };
            assert!(inputs(&body(limit)).is_ok(), "{field}");
            assert!(inputs(&body(limit + 1)).is_err(), "{field}");
        }
    }

    #[test]
    fn searches_name_between_one_and_twenty_experiments() {
        let ids = |n: i32| SearchDatasets { experiment_ids: (0..n).map(|i| i.to_string()).collect() };
        assert!(searched_experiments(&ids(0)).is_err());
        assert_eq!(searched_experiments(&ids(20)).unwrap().len(), 20);
        let message = searched_experiments(&ids(21)).unwrap_err().message;
        assert!(message.ends_with("Received 21 experiment_ids."), "{message}");
    }
}

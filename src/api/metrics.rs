//! The histories of metrics.
//!
//! A history can have a hundred thousand points, so responses are serialized from the points without building
//! the protocol's messages; their JSON is that of messages in `metrics.proto`.

use std::io;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web::Query;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::api::extract::Check::{Array, Int, Required, Str, Strings};
use crate::api::extract::{Proto, Request, Schema, wrong_type};
use crate::api::reply::{self, Reply};
use crate::api::state::App;
use crate::domain::ids::RunId;
use crate::domain::page::parse_offset_token;
use crate::domain::run::either_id;
use crate::domain::validate::{MAX_HISTORY_BULK_RESULTS, MAX_HISTORY_RUNS, MAX_SAMPLED_POINTS, step_range};
use crate::domain::{Error, Result};
use crate::proto::{GetMetricHistory, GetMetricHistoryBulkInterval};
use crate::store::runs::metrics::{History, Point, SampleQuery};

impl Request for GetMetricHistory {
    const SCHEMA: Schema =
        &[("run_id", &[Str, Required]), ("metric_key", &[Str, Required]), ("page_token", &[Str])];
}

impl Request for GetMetricHistoryBulkInterval {
    const SCHEMA: Schema = &[
        ("run_ids", &[Required, Array, Strings]),
        ("metric_key", &[Required, Str]),
        ("start_step", &[Int]),
        ("end_step", &[Int]),
        ("max_results", &[Int]),
    ];
}

/// `GET metrics/get-history`. Upstream: `_get_metric_history`.
pub async fn get_metric_history(app: App, Proto(r): Proto<GetMetricHistory>) -> Reply<HistoryAnswer> {
    if let Some(max) = r.max_results.filter(|max| *max <= 0) {
        return Err(Error::invalid(format!(
            "Invalid value {max} for parameter 'max_results' supplied. It must be a positive integer."
        )));
    }
    let offset = parse_offset_token(r.page_token.as_deref())?;
    let (run_id, key) = (either_id(r.run_id, r.run_uuid), r.metric_key.unwrap_or_default());
    let limit = r.max_results.and_then(|max| usize::try_from(max).ok());
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let page = app.store.get_metric_history(run_id, key.clone(), limit, offset).await?;
    reply::json(HistoryAnswer {
        metrics: Points { key, points: page.points },
        next_page_token: page.next_page_token,
    })
}

/// `GET metrics/get-history-bulk`, for the UI only. Upstream: `get_metric_history_bulk_handler`.
pub async fn get_metric_history_bulk(app: App, query: Query<Vec<(String, String)>>) -> Result<HttpResponse> {
    let all = |name| query.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str());
    let run_ids: Vec<RunId> = all("run_id").map(RunId::from).collect();
    let error = |text| Err(Error::invalid(format!("GetMetricHistoryBulk request {text}")));
    if run_ids.is_empty() {
        return error("must specify at least one run_id.".to_owned());
    }
    if run_ids.len() > MAX_HISTORY_RUNS {
        let given = run_ids.len();
        return error(format!(
            "cannot specify more than {MAX_HISTORY_RUNS} run_ids. Received {given} run_ids."
        ));
    }
    let Some(key) = all("metric_key").next().map(str::to_owned) else {
        return error("must specify a metric_key.".to_owned());
    };
    let limit = bulk_limit(all("max_results").next())?;
    let histories = app.store.get_metric_history_bulk(run_ids, key.clone(), limit).await?;
    bulk_answer(&key, &histories)
}

/// Differs: stock fails with a 500 for an invalid number and, depending on the database, for a negative one.
fn bulk_limit(given: Option<&str>) -> Result<i64> {
    let Some(given) = given else { return Ok(MAX_HISTORY_BULK_RESULTS) };
    match given.trim().parse::<i64>() {
        Ok(limit) if limit >= 0 => Ok(limit.min(MAX_HISTORY_BULK_RESULTS)),
        _ => Err(wrong_type("max_results", &given.into())),
    }
}

/// `GET metrics/get-history-bulk-interval`. Upstream: `get_metric_history_bulk_interval_handler`.
pub async fn get_metric_history_bulk_interval(
    app: App,
    Proto(r): Proto<GetMetricHistoryBulkInterval>,
) -> Reply<SampleAnswer> {
    const HINT: &str = "See the API docs for more information about request parameters.";
    if r.run_ids.len() > MAX_HISTORY_RUNS {
        return Err(Error::invalid(format!(
            "GetMetricHistoryBulkInterval request must specify at most {MAX_HISTORY_RUNS} run_ids. Received {} \
             run_ids. {HINT}",
            r.run_ids.len()
        )));
    }
    let max_points = r.max_results.map_or(Some(MAX_SAMPLED_POINTS), |max| usize::try_from(max).ok());
    let Some(max_points) = max_points.filter(|max| (1..=MAX_SAMPLED_POINTS).contains(max)) else {
        return Err(Error::invalid(format!(
            "max_results must be between 1 and {MAX_SAMPLED_POINTS}. {HINT}"
        )));
    };
    let key = r.metric_key.unwrap_or_default();
    let query = SampleQuery { key: key.clone(), steps: step_range(r.start_step, r.end_step)?, max_points };
    let histories = app.store.sample_metric_history(r.run_ids, query).await?;
    reply::json(SampleAnswer::new(key, histories))
}

/// The answer of `get-history`.
#[derive(Debug, Serialize)]
pub struct HistoryAnswer {
    #[serde(skip_serializing_if = "Points::is_empty")]
    metrics: Points,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// The answer of `get-history-bulk-interval`.
#[derive(Debug, Serialize)]
pub struct SampleAnswer {
    #[serde(skip_serializing_if = "Samples::is_empty")]
    metrics: Samples,
}

impl SampleAnswer {
    /// Builds the answer of histories of the metric `key`.
    pub(super) const fn new(key: String, histories: Vec<History>) -> Self {
        Self { metrics: Samples { key, histories } }
    }
}

#[derive(Debug)]
struct Points {
    key: String,
    points: Vec<Point>,
}

impl Points {
    fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

impl Serialize for Points {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.points.iter().map(|point| PointJson::new(&self.key, point, None)))
    }
}

#[derive(Debug)]
struct Samples {
    key: String,
    histories: Vec<History>,
}

impl Samples {
    fn is_empty(&self) -> bool {
        self.histories.iter().all(|h| h.points.is_empty())
    }
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let points = self.histories.iter().flat_map(|h| h.points.iter().map(move |p| (h, p)));
        s.collect_seq(points.map(|(h, point)| PointJson::new(&self.key, point, Some(&h.run_id))))
    }
}

/// A `Metric` or a `MetricWithRunId`.
#[derive(Serialize)]
struct PointJson<'a> {
    key: &'a str,
    #[serde(serialize_with = "crate::proto::json::double::serialize")]
    value: Option<f64>,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

impl<'a> PointJson<'a> {
    fn new(key: &'a str, point: &Point, run_id: Option<&'a str>) -> Self {
        Self { key, value: Some(point.value()), timestamp: point.timestamp, step: point.step, run_id }
    }
}

/// A metric as `get-history-bulk` writes it: keys in their alphabetical order.
#[derive(Serialize)]
struct BulkPoint<'a> {
    key: &'a str,
    run_id: &'a str,
    step: i64,
    timestamp: i64,
    value: f64,
}

#[derive(Serialize)]
struct BulkAnswer<'a> {
    metrics: Vec<BulkPoint<'a>>,
}

/// Writes NaN bare, which is invalid JSON, but stock does so and its UI and client read it. It is the only
/// value here that could be null.
struct BareNan;

impl Formatter for BareNan {
    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"NaN")
    }
}

fn bulk_answer(key: &str, histories: &[History]) -> Result<HttpResponse> {
    let points = histories.iter().flat_map(|h| h.points.iter().map(move |p| (h, p)));
    let metrics = points.map(|(h, p)| BulkPoint {
        key,
        run_id: &h.run_id,
        step: p.step,
        timestamp: p.timestamp,
        value: p.value(),
    });
    let answer = BulkAnswer { metrics: metrics.collect() };
    let mut body = Vec::with_capacity(128 * (answer.metrics.len() + 1));
    answer
        .serialize(&mut serde_json::Serializer::with_formatter(&mut body, BareNan))
        .map_err(Error::internal)?;
    body.push(b'\n');
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

#[cfg(test)]
mod tests;

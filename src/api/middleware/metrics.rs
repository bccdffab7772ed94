//! Prometheus metrics: a counter of requests by route and status, a latency histogram, and the database load.
//! In memory, shared by all workers, read at `/metrics`.
//!
//! Upstream: `mlflow.server.prometheus_exporter`; the names of the first two and their buckets are stock's.
//! Differs: the label `route`, and no metrics of a Python process.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TEXT_FORMAT, TextEncoder,
};

use crate::config::MLFLOW_VERSION;
use crate::domain::{Error, Result};
use crate::store::Store;

const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    durations: HistogramVec,
    requests: IntCounterVec,
    queue_length: IntGauge,
}

impl Metrics {
    /// Makes metrics that begin at zero.
    ///
    /// # Errors
    /// Never in practice: the names are fixed.
    pub fn new() -> Result<Self> {
        Self::try_new().map_err(Error::internal)
    }

    fn try_new() -> prometheus::Result<Self> {
        let durations =
            HistogramOpts::new("mlflow_http_request_duration_seconds", "Time to answer a request")
                .buckets(BUCKETS.to_vec())
                .const_label("mlflow_version", MLFLOW_VERSION);
        let metrics = Self {
            registry: Registry::new(),
            durations: HistogramVec::new(durations, &["method", "route", "status"])?,
            requests: IntCounterVec::new(
                Opts::new("mlflow_http_request_total", "Requests answered"),
                &["method", "route", "status"],
            )?,
            queue_length: IntGauge::new(
                "ferroflow_database_queue_length",
                "Pieces of work that wait for a database thread",
            )?,
        };
        metrics.registry.register(Box::new(metrics.durations.clone()))?;
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.queue_length.clone()))?;
        Ok(metrics)
    }

    /// Registers a collector.
    ///
    /// # Errors
    /// When it was added before.
    pub fn add<C: Collector + Clone + 'static>(&self, counter: &C) -> Result<()> {
        self.registry.register(Box::new(counter.clone())).map_err(Error::internal)
    }

    /// Counts a request. `route` is the pattern, to bound the cardinality of labels.
    pub fn observe(&self, method: &str, route: &str, status: &str, duration: Duration) {
        let labels = [method, route, status];
        self.durations.with_label_values(&labels).observe(duration.as_secs_f64());
        self.requests.with_label_values(&labels).inc();
    }

    /// Returns all metrics in Prometheus' text format, with its content type.
    pub fn render(&self, store: &Store) -> Result<(&'static str, Vec<u8>)> {
        self.queue_length.set(i64::try_from(store.queue_length()).unwrap_or(i64::MAX));
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text).map_err(Error::internal)?;
        Ok((TEXT_FORMAT, text))
    }
}

"""System metrics: a background thread of the client that logs batches with steps."""

from __future__ import annotations

import time


def test_system_metrics(mlflow, client):
    mlflow.enable_system_metrics_logging()
    mlflow.set_system_metrics_sampling_interval(0.2)
    mlflow.set_system_metrics_samples_before_logging(1)
    try:
        with mlflow.start_run() as run:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                history = client.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage")
                if len(history) >= 3:
                    break
                time.sleep(0.1)
    finally:
        mlflow.disable_system_metrics_logging()
        mlflow.set_system_metrics_sampling_interval(None)
        mlflow.set_system_metrics_samples_before_logging(None)
    assert [point.step for point in history[:3]] == [0, 1, 2]
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["system/system_memory_usage_megabytes"] > 0
    assert "system/disk_usage_percentage" in metrics

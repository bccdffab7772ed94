-- What stock MLflow does not have and does not mind: the table that names our own migrations, and the index of
-- the default listing of runs, which has runs without a start time last.
CREATE TABLE ferroflow_migrations (
    name VARCHAR(64) NOT NULL,
    applied_time_ms BIGINT NOT NULL,
    CONSTRAINT ferroflow_migrations_pk PRIMARY KEY (name)
);
CREATE INDEX ferroflow_runs_listing ON runs (experiment_id, lifecycle_stage, start_time DESC NULLS LAST, run_uuid);

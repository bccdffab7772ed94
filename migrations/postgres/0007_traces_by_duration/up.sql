-- The slowest traces of an experiment.
CREATE INDEX ferroflow_trace_info_durations ON trace_info (experiment_id, execution_time_ms DESC NULLS LAST);

-- The slowest traces of an experiment; unknown durations come last in such an index by themselves.
CREATE INDEX ferroflow_trace_info_durations ON trace_info (experiment_id, execution_time_ms DESC);

DROP INDEX ferroflow_trace_info_durations;
DELETE FROM ferroflow_migrations WHERE name = '0007_traces_by_duration';

DROP INDEX ferroflow_assessments_of_sessions;
DROP INDEX ferroflow_trace_metadata_values;
DROP INDEX ferroflow_trace_tags_values;
DELETE FROM ferroflow_migrations WHERE name = '0006_traces_by_value';

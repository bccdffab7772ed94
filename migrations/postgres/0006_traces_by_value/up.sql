-- Traces by what they are tagged with, by their run and other metadata: the keys of stock begin with the trace.
CREATE INDEX ferroflow_trace_tags_values ON trace_tags (key, left(value, 64));
CREATE INDEX ferroflow_trace_metadata_values ON trace_request_metadata (key, left(value, 64));
-- Assessments that count for all traces of a session: there are few, if any.
CREATE INDEX ferroflow_assessments_of_sessions ON assessments (name) WHERE strpos(assessment_metadata, '"mlflow.trace.session":') > 0;

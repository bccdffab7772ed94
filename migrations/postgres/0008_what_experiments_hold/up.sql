-- The tags of an experiment, which stock looks for in all there are, and the newest logged models of one.
CREATE INDEX ferroflow_experiment_tags ON experiment_tags (experiment_id);
CREATE INDEX ferroflow_logged_models_listing ON logged_models (experiment_id, creation_timestamp_ms DESC NULLS LAST, model_id);

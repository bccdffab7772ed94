-- The default listing of model versions, which else sorts all of them for every page.
CREATE INDEX ferroflow_model_versions_listing ON model_versions (workspace, last_updated_time DESC, name, version DESC);

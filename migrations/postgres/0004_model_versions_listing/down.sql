DROP INDEX ferroflow_model_versions_listing;
DELETE FROM ferroflow_migrations WHERE name = '0004_model_versions_listing';

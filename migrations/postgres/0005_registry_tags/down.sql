DROP INDEX ferroflow_model_version_tags;
DROP INDEX ferroflow_registered_model_tags;
DELETE FROM ferroflow_migrations WHERE name = '0005_registry_tags';

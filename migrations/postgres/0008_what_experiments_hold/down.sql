DROP INDEX ferroflow_logged_models_listing;
DROP INDEX ferroflow_experiment_tags;
DELETE FROM ferroflow_migrations WHERE name = '0008_what_experiments_hold';

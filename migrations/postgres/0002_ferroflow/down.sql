DROP INDEX ferroflow_runs_listing;
DROP TABLE ferroflow_migrations;

DROP TABLE ferroflow_webhook_deliveries;
DELETE FROM ferroflow_migrations WHERE name = '0003_webhook_deliveries';
